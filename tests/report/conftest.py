"""Made-up studies of several shapes: numbers from a fixed stream, so that every test sees the same ones."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from regrow.study.view import CLEAN, CellScore, RunView, StudyView
from regrow.verdict.model import ArmVerdict, ClaimVerdict, Comparison, Evidence, Interval, Verdict

COMMON = {
    "gaussian_noise": "noise",
    "shot_noise": "noise",
    "impulse_noise": "noise",
    "defocus_blur": "blur",
    "brightness": "weather",
    "contrast": "digital",
    "pixelate": "digital",
    "jpeg_compression": "digital",
}
EXTRAS = {"gaussian_blur": "blur", "saturate": "digital"}
LAYERS = (
    ("conv1", (16, 3, 3, 3)),
    ("block1.conv", (16, 16, 3, 3)),
    ("block2.conv", (32, 16, 3, 3)),
    ("block3.conv", (64, 32, 3, 3)),
    ("fc", (10, 64)),
)
UPDATES = 24


def _plan(method: str, sparsity: float) -> dict[str, Any]:
    sparsities = {"conv1": 0.0, "fc": 0.0, "block1.conv": 0.4 * sparsity}
    layers = []
    for name, shape in LAYERS:
        s = 0.0 if method == "dense" else sparsities.get(name, sparsity)
        n = math.prod(shape)
        layers.append(
            {
                "name": name,
                "shape": list(shape),
                "n_weights": n,
                "n_active": round(n * (1 - s)),
                "density": round(n * (1 - s)) / n,
                "kept_dense": s == 0.0 and method != "dense",
            }
        )
    n, active = (sum(int(x[k]) for x in layers) for k in ("n_weights", "n_active"))
    moving = method not in ("dense", "static")
    return {
        "layers": layers,
        "n_weights": n,
        "n_active": active,
        "density": active / n,
        "updates": UPDATES if moving else 0,
        "interval": 37 if moving else None,
    }


def _history(plan: dict[str, Any], rng: np.random.Generator) -> list[dict[str, Any]]:
    rows = []
    for u in range(1, plan["updates"] + 1):
        fraction = 0.15 * (1 + math.cos(math.pi * u / plan["updates"]))
        for layer in plan["layers"]:
            if layer["kept_dense"]:
                continue
            dropped = round(fraction * layer["n_active"])
            returned = round(dropped * (0.35 + 0.1 * rng.random()))
            rows.append(
                {
                    "step": 37 * u,
                    "update": u,
                    "layer": layer["name"],
                    "n_active": layer["n_active"],
                    "dropped": dropped,
                    "returned": returned,
                    "fresh": dropped - returned,
                    "drop_fraction": fraction,
                    "itop_rate": 1 - (1 - layer["density"]) * 0.86**u,
                }
            )
    return rows


def _scores(
    quality: float, rng: np.random.Generator, corruptions: Sequence[str], severities: Sequence[int]
) -> dict[tuple[str, int], CellScore]:
    scores = {CLEAN: CellScore(round(quality * 400) / 400, 400)}
    for i, name in enumerate(corruptions):
        for s in severities:
            fall = (0.03 + 0.012 * (i % 5)) * s
            scores[name, s] = CellScore(round(max(0.1, quality - fall + rng.normal(0, 0.008)) * 400) / 400, 400)
    return scores


def make_run(
    method: str,
    sparsity: float,
    seed: int,
    *,
    axes: dict[str, Any] | None = None,
    state: str = "done",
    kernels: bool = True,
    cues: bool = True,
    train: float = 0.998,
    severities: Sequence[int] = (1, 2, 3, 4, 5),
    corruptions: Sequence[str] = (),
    gain: float = 0.012,
) -> RunView:
    """One run; of a state other than ``done`` it has no numbers."""
    rng = np.random.default_rng([seed, len(method), round(100 * sparsity)])
    plan = _plan(method, sparsity)
    name = f"{method}-s{sparsity:g}-seed{seed}"
    if state != "done":
        reason = "the process was killed by signal 9" if state == "failed" else ""
        return RunView(name, method, sparsity, seed, axes or {}, state, reason, int(state != "planned") * 2, plan=plan)
    bonus = {"dense": 0.0, "static": 0.3, "set": 1.0, "rigl": 0.8}.get(method, 0.5) * gain
    quality = 0.78 + bonus + 0.006 * math.sin(9 * seed) + rng.normal(0, 0.003)
    metrics = [
        {
            "step": s,
            "loss": 2.2 * math.exp(-s / 260) + 0.03 + 0.03 * rng.random(),
            "accuracy": min(1.0, 1 - 0.85 * math.exp(-s / 230) + 0.01 * rng.random()),
            "lr": 0.05,
            "density": plan["density"],
            "images_per_s": 900.0,
        }
        for s in range(40, 1240, 40)
    ]
    counts = {}
    for layer in plan["layers"]:
        if len(layer["shape"]) == 4:
            counts[layer["name"]] = rng.binomial(9, layer["density"], size=tuple(layer["shape"][:2])).astype(np.uint8)
    low = 0.42 + 0.1 * bonus / max(gain, 1e-9) + 0.02 * rng.random()
    dense_flops = 1.4e7
    return RunView(
        name=name,
        method=method,
        sparsity=sparsity,
        seed=seed,
        axes=axes or {},
        state="done",
        attempts=1,
        settings={"method": method, "seed": seed},
        plan=plan,
        result={
            "train_accuracy": train,
            "steps": 1200,
            "wall_s": 31.0 + seed,
            "images_per_s": 870.0,
            "updates": plan["updates"],
            "itop_rate": 0.5 if method == "static" else 0.97,
            "density": plan["density"],
            "flops": {
                "forward_dense": dense_flops,
                "forward_sparse": dense_flops * (plan["density"] + 0.06 if method != "dense" else 1.0),
                "training_ratio": 1.0 if method == "dense" else plan["density"] + 0.07,
            },
            "peak_memory_bytes": 412_000_000,
            "n_parameters": 77_850,
        },
        metrics=metrics,
        history=_history(plan, rng),
        scores=_scores(quality, rng, corruptions or [*COMMON, *EXTRAS], severities),
        attenuation={
            "convention": "follow",
            "n": 400,
            "low": [
                {"radius": float(r), "accuracy": min(0.98 * quality, 0.12 + 0.062 * r + 0.01 * rng.random())}
                for r in range(2, 17, 2)
            ],
            "high": [
                {"radius": float(r), "accuracy": max(0.1, quality - 0.075 * r + 0.01 * rng.random())}
                for r in range(0, 13, 2)
            ],
        },
        kernels=counts if kernels else {},
        kernel_sizes=dict.fromkeys(counts, 9) if kernels else {},
        reliance={"low": low, "high": 0.93 - low, "other": 0.07, "low_only": 0.81, "high_only": 0.77, "n": 400}
        if cues
        else None,
    )


def make_examples(
    n: int = 2, size: int = 32, severities: Sequence[int] = (1, 2, 3, 4, 5)
) -> dict[tuple[str, int], Any]:
    """Images with a shape and a texture, and something like a corruption of them."""
    y, x = np.mgrid[0:size, 0:size] / size
    out = {}
    for k, cell in enumerate([CLEAN, *((c, s) for c in [*COMMON, *EXTRAS] for s in severities)]):
        rng = np.random.default_rng(k)
        images = []
        for i in range(n):
            disc = ((x - 0.5) ** 2 + (y - 0.45 - 0.1 * i) ** 2 < 0.08).astype(float)
            base = np.stack([0.25 + 0.6 * disc, 0.45 + 0.2 * y, 0.75 - 0.5 * disc + 0.08 * np.sin(40 * x + i)], axis=-1)
            base += 0.035 * cell[1] * rng.normal(size=base.shape)
            images.append(np.clip(255 * base, 0, 255).astype(np.uint8))
        out[cell] = np.stack(images)
    return out


def make_study(
    *,
    n_seeds: int = 2,
    sparsities: Sequence[float] = (0.5,),
    methods: Sequence[str] = ("static", "set", "rigl"),
    tier: str = "T0",
    data: str = "cues",
    kernels: bool = True,
    train: float = 0.998,
    gain: float = 0.012,
    states: dict[tuple[str, int], str] | None = None,
    title: str = "Dense, static, SET and RigL on generated images with a low- and a high-frequency cue",
    axes: Sequence[dict[str, Any]] = ({},),
    severities: Sequence[int] = (1, 2, 3, 4, 5),
    examples: int = 2,
    size: int = 32,
    notes: Sequence[str] | None = None,
    **more: Any,
) -> StudyView:
    """A study of any shape; ``states`` gives runs, by (method, seed), another state than done."""
    arms = [(m, s, a) for a in axes for m, s in [("dense", 0.0), *((m, s) for m in methods for s in sparsities)]]
    runs = [
        make_run(
            m,
            s,
            seed,
            axes=a,
            state=(states or {}).get((m, seed), "done"),
            kernels=kernels,
            cues=data == "cues",
            train=train,
            severities=severities,
            gain=gain,
        )
        for m, s, a in arms
        for seed in range(n_seeds)
    ]
    runs.sort(key=lambda r: r.method != "dense")
    default_notes = (
        "jpeg_compression: codec=pillow; its bytes differ from the published set's, which libjpeg 9 made.",
    )
    return StudyView(
        folder=Path("somewhere/demo"),
        name="demo" if data == "cues" else "quick-cifar10",
        title=title,
        tier=tier,
        recipe={
            "schema": 1,
            "name": "demo",
            "data": {"name": data, "train_images": 1600, "test_images": 400},
            "model": {"name": "resnet8", "width": 16},
            "methods": [{"name": "dense"}, *({"name": m, "drop_fraction": 0.3} for m in methods)],
            "sparsity": list(sparsities),
            "seeds": list(range(n_seeds)),
            "training": {
                "steps": 1200,
                "batch": 16,
                "lr": 0.05,
                "weight_decay": 5e-4,
                "augment": {"flip": False, "crop": 0},
            },
        },
        precision={"dtype": "float32", "channels_last": True, "probe": {"reason": "bf16 is 0.4 times as fast here"}},
        environment={
            "regrow": "0.1.0",
            "python": "3.11.7",
            "packages": {"torch": "2.13.0", "numpy": "2.4.1"},
            "processor": "Some processor 8000",
            "cores": 2,
            "bf16_hardware": False,
            "accelerator": None,
        },
        data={
            "name": data,
            "image_size": size,
            "n_train": 1600,
            "n_test": 400,
            "classes": [str(i) for i in range(10)],
            "note": "",
        },
        runs=runs,
        corruptions=[*COMMON, *EXTRAS],
        severities=list(severities),
        families={**COMMON, **EXTRAS},
        common=list(COMMON),
        examples=make_examples(examples, size, severities) if examples else {},
        notes=list(default_notes if notes is None else notes),
        started=sum(r.attempts for r in runs),
        **more,
    )


def make_comparison(
    arm: str, reference: str, *, role: str = "dense", metric: str = "mean accuracy over the common types",
    unit: str = "points", shift: float = 1.0, n: int = 5, value: str = "supported", crossed: bool = True,
) -> Comparison:  # fmt: skip
    """One comparison whose figures hang together: mean, spread, t interval."""
    rng = np.random.default_rng([len(arm), len(reference), n, round(100 * abs(shift))])
    by_seed = tuple(float(x) for x in shift + 0.4 * rng.normal(size=n))
    if n < 3:
        centre = sum(by_seed) / n if n else None
        return Comparison(arm, reference, role, metric, unit, tuple(range(n)), by_seed, centre, value="not testable")
    centre, sd = float(np.mean(by_seed)), float(np.std(by_seed, ddof=1))
    half = {3: 4.303, 4: 3.182, 5: 2.776}.get(n, 2.1) * sd / math.sqrt(n)
    thin = Interval(centre - 1.4 * half, centre + 1.4 * half, 0.02, 6.0, 400) if crossed else None
    return Comparison(
        arm, reference, role, metric, unit, tuple(range(n)), by_seed, centre, sd, centre - half, centre + half,
        0.0041, 0.0123, "the 3 methods of this claim", centre - 0.77 * half, centre + 0.77 * half, centre / sd,
        0.8 * centre / sd, 0.3, None, thin, 0.0625, 6, 0.5, value,  # type: ignore[arg-type]
    )  # fmt: skip


def make_arm(
    arm: str, value: str, comparisons: Sequence[Comparison], controls: Sequence[Comparison] = ()
) -> ArmVerdict:
    """What a claim says of one method."""
    known = [c for c in comparisons if c.mean is not None]
    words = f"{arm} differs by {known[0].mean:+.2f} {known[0].unit}" if known else f"{arm} was not compared"
    return ArmVerdict(
        arm,
        value,  # type: ignore[arg-type]
        "material" if value == "supported" else "",
        "cause not separated" if value == "supported" else "",
        f"{words} (made up; {len(comparisons)} comparisons; tier T0c).",
        "" if value != "inconclusive" else "The interval covers zero and is wider than the equivalence margin.",
        tuple(comparisons),
        tuple(controls),
        ("a static random mask of equal layer densities",) if controls else (),
        ("a narrower dense network of equal weights", "dense training with dropout"),
        (0.3, 0.5),
    )


def make_claim(id: str, title: str, value: str, arms: Sequence[ArmVerdict] = (), **more: Any) -> ClaimVerdict:
    """One claim; ``more`` replaces what it says."""
    of = sum(a.value == value for a in arms)
    values: dict[str, Any] = {
        "id": id, "title": title, "value": value, "arms": tuple(arms),
        "statement": f"{title}: what is claimed, in one sentence that says of which networks it speaks.",
        "source": "arXiv 2410.03030, abstract", "headline": f"{of} of {len(arms)} methods {value}",
        "scope": "of this study only", "paper": "not testable at this tier", "registered": True,
        "metric": "mean accuracy over the common types", "direction": "greater", "margin": 0.0,
        "evidence": (Evidence("Effective robustness", "0.61 points remain above the dense line.", {"x": 0.61}),),
        "rivals": ("noise between seeds", "less capacity"), "breaks": "no gain over dense",
        "settle": "9 more seeds of dense and rigl would see 0.5 points with a power of 80 %.",
        "why_not": "" if arms else "No finished run has the measurement that it needs.", **more,
    }  # fmt: skip
    return ClaimVerdict(**values)


def make_verdict(methods: Sequence[str] = ("static", "set", "rigl"), *, n: int = 5, **more: Any) -> Verdict:
    """A verdict with every value, every kind of margin, several references, several metrics and no numbers at all."""
    shifts = [1.1, 0.2, -0.4, 0.7, 0.0]
    values = ["supported", "inconclusive", "refuted", "supported", "equivalent"]
    if n < 3:
        values = ["not testable"] * 5
    against = "dense training"
    each = [(m, shifts[i % 5], values[i % 5]) for i, m in enumerate(methods)]

    def arms(**kinds: Any) -> list[ArmVerdict]:
        return [make_arm(m, v, [make_comparison(m, against, shift=s, n=n, value=v, **kinds)]) for m, s, v in each]

    control = [make_comparison("rigl", "static", role="static", shift=0.2, n=n, value="inconclusive")]
    both = [
        [
            make_comparison(m, ref, role=ref, shift=s, n=n, value=v, crossed=False)
            for ref in ("static", "pruned", "pulse")
        ]
        for m, s, v in each
    ]
    filtered = [
        [
            make_comparison(m, against, metric=f"accuracy kept, {c}", shift=s, n=n, value=v)
            for c in ("follow", "keep_dc")
        ]
        for m, s, v in each
    ]
    claims = (
        make_claim("C1", "Robust gain", values[1], [*arms()[:-1], make_arm(*each[-1][::2], [make_comparison(
            each[-1][0], against, shift=each[-1][1], n=n, value=each[-1][2])], control)]),
        make_claim("C2", "Clean accuracy not worse", values[0], arms(), direction="not_below", margin=0.5),
        make_claim("C3", "Largest gain under noise", values[2], arms(), registered=False),
        make_claim("C4", "Weights are concentrated", "not testable"),
        make_claim("C5b", "Low frequencies matter alike", values[4],
                   [make_arm(m, v, c) for (m, _, v), c in zip(each, filtered, strict=True)],
                   direction="equal", margin=1.0),
        make_claim("C6", "It is the dynamics", values[1],
                   [make_arm(m, v, c) for (m, _, v), c in zip(each, both, strict=True)]),
    )  # fmt: skip
    values_: dict[str, Any] = {
        "study": "demo", "title": "A made-up study", "tier": "T0c", "tier_words": "shows spreads",
        "registration": "9f2c" * 16, "registered_at": "2026-11-26 18:00:07 UTC", "claims": claims, "families": 6,
        "problems": ("rigl 0.5 has 4 of 5 registered seeds: seed 3 failed.",),
        "controls_run": ("a static random mask of equal layer densities",),
        "controls_not_run": ("magnitude pruning after dense training", "dense training with dropout"), **more,
    }  # fmt: skip
    return Verdict(**values_)


#: As files hold them: not in the order of the network.
STORED_LAYERS = ("block3.conv", "conv1", "block1.conv")


def make_analyses(method: str, seed: int, side: int = 8) -> dict[str, Any]:
    """What the analyses of a run found, in the form that they have in files; layers not in the network's order."""
    import torch

    from regrow.study.analyses.attribution import packed

    rng = np.random.default_rng([seed, len(method)])
    shares = {"block3.conv": 0.9, "conv1": 0.1, "block1.conv": 0.5}
    sparse = method != "dense"
    radial = [{"radius": k, "mean": float(rng.random()), "cells": 4} for k in range(5)]
    found: dict[str, Any] = {
        "radius_curves": {
            "n": 50,
            "clean_accuracy": 0.8,
            "curves": [
                {
                    "convention": convention,
                    "edge": edge,
                    "clip": False,
                    "low": [{"radius": 2.0, "accuracy": rng.random()}, {"radius": 4.0, "accuracy": rng.random()}],
                    "high": [{"radius": 1.0, "accuracy": rng.random()}],
                }
                for convention, edge in (("keep_dc", "hard"), ("follow", "hard"), ("follow", "soft 2"))
            ],
        },
        "heat_map": {
            "image": [side, side],
            "shape": [side, side],
            "eps": 1.0,
            "n": 16,
            "error": rng.random((side, side)).tolist(),
            "layers": {},
            "summary": {"error": {"radial": radial}},
        },
        "gradients": {
            "input_gradient": {
                "n": 40,
                "radius": 2.0,
                "share": float(rng.random()),
                "profile": [{"radius": 0, "bins": 1, "power": 3.0}, {"radius": 1, "bins": 4, "power": 0.25}],
            },
            "jacobian": {"norm": 3.0 + seed},
        },
        "kernel_spectra": {
            "layers": [{"layer": name, "share": shares[name]} for name in STORED_LAYERS],
            **(
                {
                    "relation": {
                        "pooled": [
                            {
                                "by": "filter",
                                "rho_initial": -0.1,
                                "rho_final": -0.3,
                                "null_mean": -0.2,
                                "z": -1.0 - seed,
                            }
                        ]
                    }
                }
                if sparse
                else {}
            ),
        },
        "aliasing": {
            "layers": [
                {"layer": "down", "kind": "Conv2d", "stride": 2, "white_share": 0.75,
                 "share": {"mean": 0.25 + seed / 100}, "relative_error": {"mean": 0.5}},
                {"layer": "gone", "kind": "MaxPool2d", "stride": 2, "white_share": None,
                 "share": {"mean": None}, "relative_error": {"mean": None}},
            ]
        },
        "sharpness": {
            "n": 10,
            "hessian": {"eigenvalue": 5.0 + seed},
            "worst_case": {"rise": 0.5},
            "random": {"rows": [{"scale": 0.1, "rise": 0.01, "sd": 0.0}]},
        },
        "attribution": {
            "n": 4,
            "why": "",
            "methods": {
                "grad_cam": {
                    "layer": "block3",
                    "cells": [
                        {"corruption": "clean", "severity": 0, "high_share": 0.125},
                        {"corruption": "contrast", "severity": 3, "rank_correlation": 0.5 + seed / 10, "cosine": 0.5,
                         "high_share": 0.25, "n_compared": 4},
                    ],
                    "maps": {
                        "side": [32, 32],
                        "clean.0": packed(torch.from_numpy(rng.random((2, 32, 32)))),
                        "contrast.3": packed(torch.from_numpy(rng.random((2, 32, 32)))),
                    },
                }
            },
        },
    }  # fmt: skip
    if sparse:
        found["spatial"] = {
            "network": [
                {"of": "count", "by": by, "value": 0.5 + seed, "null_mean": 0.0, "z": 7.0, "p": 0.005}
                for by in ("output", "input", "kernel")
            ],
            "layers": [
                {"layer": name, "filters": 16, "filters_dead": 1, "filters_without_inputs": 0, "empty_kernels": 5,
                 "empty_kernels_expected": 2.5,
                 "spread": [{"of": "count", "by": "output", "groups": 16, "density": 0.5, "dispersion": 3.0,
                             "gini": 0.1 * (seed + 1), "effective_number": 15.0, "z_gini": 4.0}]}
                for name in STORED_LAYERS
            ],
        }  # fmt: skip
    return found


def with_analyses(view: StudyView, side: int = 8) -> StudyView:
    """The same study with analyses of its finished runs, and of itself."""
    runs = [
        replace(run, analyses=make_analyses(run.method, run.seed, side)) if run.state == "done" else run
        for run in view.runs
    ]
    rows = [
        {
            "corruption": name,
            "share": share,
            "share_whitened": 0.9,
            "severities": [{"high_power_ratio": r} for r in ratios],
        }
        for name, share, ratios in (
            ("gaussian_noise", 0.8, (2.0, 8.0)),
            ("defocus_blur", 0.7, (0.5, 0.125)),
            ("contrast", 0.1, (1.0, None)),
        )
    ]
    overlap = {
        "arms": {
            "set-s0.5": {"runs": 3, "total": {"jaccard": 0.4, "jaccard_expected": 0.33}},
            "dense-s0": {"runs": 3, "total": None},
        }
    }
    spectra = {"n": 20, "radius": 8.0, "rows": rows}
    return replace(view, runs=runs, analyses={"corruption_spectra": spectra, "mask_overlap": overlap})


def make_large_study(n_seeds: int = 25) -> StudyView:
    """Twenty arms over many seeds, 15 common types and four extras: as heavy as a real one of 500 runs."""
    from regrow import corruptions

    names = corruptions.names()[:19] if len(corruptions.names()) >= 19 else list(corruptions.names())
    common = [n for n in names if not corruptions.get(n).extra]
    family = {n: corruptions.get(n).family for n in names}
    arms = [
        ("dense", 0.0),
        *((m, s) for m in ("static", "set", "rigl", "mest", "granet") for s in (0.1, 0.3, 0.5, 0.7)),
    ]
    arms = arms[:20]
    runs = [
        make_run(m, s, seed, corruptions=names, severities=(1, 2, 3, 4, 5)) for m, s in arms for seed in range(n_seeds)
    ]
    view = make_study(n_seeds=1, methods=(), examples=2)
    examples = {CLEAN: view.examples[CLEAN]}
    examples |= {(n, s): view.examples["contrast", s] for n in names for s in (1, 2, 3, 4, 5)}
    return replace(
        with_analyses(replace(view, runs=runs), 32), title=f"{len(arms)} arms, {n_seeds} seeds",
        tier="T1", corruptions=names, common=common, families=family, examples=examples,
        started=len(runs), recipe={**view.recipe, "seeds": list(range(n_seeds))},
    )  # fmt: skip


@pytest.fixture(scope="session", name="with_analyses")
def _with_analyses() -> Callable[..., StudyView]:
    """Adds analyses to a study."""
    return with_analyses


@pytest.fixture(scope="session")
def large_study() -> Callable[..., StudyView]:
    """The maker of a large study."""
    return make_large_study


@pytest.fixture(scope="session")
def verdict_maker() -> Callable[..., Verdict]:
    """The maker of verdicts."""
    return make_verdict


@pytest.fixture(scope="session")
def claim_maker() -> Callable[..., ClaimVerdict]:
    """The maker of claims."""
    return make_claim


@pytest.fixture(scope="session")
def study() -> Callable[..., StudyView]:
    """The maker of studies."""
    return make_study


@pytest.fixture(scope="session")
def run_maker() -> Callable[..., RunView]:
    """The maker of runs."""
    return make_run


@pytest.fixture(scope="session")
def small_examples() -> dict[tuple[str, int], Any]:
    """Example images of every cell."""
    return make_examples(1)
