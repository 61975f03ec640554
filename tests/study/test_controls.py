"""Arms that are controls: matched in weights or FLOPs, started from other arms, with settings of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from regrow import files, models
from regrow.errors import DataError, InputError, RunFailedError, UnknownNameError
from regrow.report.write import write_report
from regrow.sparsity import cost
from regrow.study import recipe as recipes
from regrow.study.cells import open_cells
from regrow.study.execute import execute, is_complete
from regrow.study.flops import DataSize, training_flops
from regrow.study.load import load_study
from regrow.study.making import make_cells
from regrow.study.narrow import narrowed
from regrow.study.plan import PlannedRun, expand
from regrow.study.recipe import Recipe
from regrow.study.run import plan_lines, plan_study, run_study
from regrow.study.store import Store, get_state
from regrow.training.checkpoint import load_weights
from regrow.training.settings import ModelSettings, Precision
from regrow.verdict.arms import arms_of, differences, reference_of

SIZE = DataSize(n_images=64, n_classes=10, input_shape=(3, 32, 32))


def with_methods(tiny: Recipe, *methods: Any, **changes: Any) -> Recipe:
    values = tiny.resolved()
    training = {**values["training"], **changes.pop("training", {})}
    return recipes.parse({**values, "methods": list(methods), "training": training, **changes}, "controls")


def planned(recipe: Recipe) -> dict[str, PlannedRun]:
    return {run.name: run for run in expand(recipe, Precision())}


def test_runs_of_before_these_settings_keep_their_fingerprint() -> None:
    """The digests are those of the version before: stored studies go on."""
    values = {
        "schema": 1,
        "name": "tiny",
        "data": {"name": "cues", "train_images": 64, "test_images": 20},
        "model": {"name": "resnet8", "width": 4},
        "methods": ["dense", {"name": "rigl", "label": "mine", "interval": 3}, {"name": "static", "options": {}}],
        "seeds": [2],
        "sparsity": [0.4],
        "training": {"steps": 24, "batch": 8, "lr": 0.05, "accumulate": 2},
    }
    runs = expand(recipes.parse(values, "tiny"), Precision())
    assert [files.value_digest(run.settings.identity()) for run in runs] == [
        "7cd344a92674b951fd759cd2e3534d522d06e4d1ef12326fbde51721760ea146",
        "00e85d1be8cccb20935b96d51b5be775f704c09571b0fa62e7b690897b360862",
        "4e4ca1a5a655f05b79e94335fece6ced2ca544fb4e62348dce377ce021a7ed74",
    ]


def test_a_study_of_before_these_settings_goes_on(tiny: Recipe, folder: Path) -> None:
    plan = plan_study(tiny)
    store = Store(folder)
    store.create(tiny, plan.precision, plan.probe, {})
    content = store.load()
    later = ("l1", "sam", "stop_after")
    old = content["recipe"]
    old["training"] = {k: v for k, v in old["training"].items() if k not in later}
    old["methods"] = [{k: v for k, v in m.items() if k not in ("source", "narrow", "compute")} for m in old["methods"]]
    content["recipe_digest"] = files.value_digest(old)
    store.study_file.write_text(yaml.safe_dump(content))
    store.require_recipe(tiny)
    with pytest.raises(InputError, match=r"training\.l1 is 0\.0 there, 0\.1"):
        store.require_recipe(with_methods(tiny, *tiny.resolved()["methods"], training={"l1": 0.1}))


# ---- settings of one arm


def test_an_arm_may_differ_in_training_and_network(tiny: Recipe) -> None:
    arm = {"name": "dense", "label": "dense_l1", "training": {"l1": 1e-5, "epochs": 2, "augment": {"crop": 2}}}
    runs = planned(with_methods(tiny, "dense", arm, {"name": "rigl", "label": "wide", "model": {"width": 5}}))
    assert list(runs) == ["dense-s0-seed0", "dense_l1-s0-seed0", "wide-s0.5-seed0"]
    base, l1, wide = (run.settings for run in runs.values())
    assert (l1.training.l1, l1.training.epochs, l1.training.steps) == (1e-5, 2, None)
    assert l1.training.augment == base.training.augment.model_copy(update={"crop": 2})
    assert l1.training.lr == base.training.lr
    assert (wide.model.width, base.model.width, wide.model.name) == (5, 4, "resnet8")
    whole = with_methods(tiny, "dense", training={"l1": 1e-5, "epochs": 2, "steps": None, "augment": {"crop": 2}})
    assert planned(whole)["dense-s0-seed0"].settings.identity() == l1.identity()  # what it is, however it was said


@pytest.mark.parametrize(
    ("arm", "words"),
    [
        ({"training": {"l11": 1}}, ["a: training", "'l11'", "'l1'"]),
        ({"training": {"augment": {"flop": True}}}, ["augment.flop", "'flip'"]),
        ({"training": {"lr": -1}}, ["a: training", "lr", "-1"]),
        ({"model": {"widht": 3}}, ["a: model", "'width'"]),
        ({"training": {"precision": "bf16"}}, ["training.precision", "whole study"]),
        ({"training": {"steps": 4}, "compute": "forward_backward"}, ["length and its FLOPs"]),
        ({"source": {"label": "rigll"}}, ["rigll", "'rigl'"]),
        ({"compute_of": "b"}, ["unknown arm 'b'"]),
        ({"source": {"label": "a"}}, ["circle: a <- a"]),
        ({"training": {"steps": 0}}, ["0 steps"]),
    ],
)
def test_arms_that_cannot_be_are_refused_in_one_line(tiny: Recipe, arm: dict[str, Any], words: list[str]) -> None:
    with pytest.raises((InputError, UnknownNameError)) as caught:
        expand(with_methods(tiny, "dense", "rigl", {"name": "static", "label": "a", **arm}), Precision())
    assert "\n" not in str(caught.value)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("arm", "words"),
    [
        ({"name": "rigl", "narrow": True}, "narrow is for dense"),
        ({"name": "dense", "source": {"label": "rigl", "masks": "final"}}, "no masks"),
        ({"name": "set", "source": {"lable": "rigl"}}, "label"),
        ({"name": "set", "source": {"label": "rigl", "weights": 1.5}}, "weights"),
        ({"name": "dense", "compute": "forward_backward", "compute_of": "rigl"}, "either compute"),
    ],
)
def test_entries_that_make_no_sense_are_refused(tiny: Recipe, arm: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        with_methods(tiny, "dense", "rigl", {"label": "a", **arm})


def test_arms_in_a_circle_are_refused(tiny: Recipe) -> None:
    arms = [{"name": "static", "label": a, "source": {"label": b}} for a, b in (("a", "b"), ("b", "c"), ("c", "a"))]
    with pytest.raises(InputError, match="circle: a <- b <- c <- a"):
        expand(with_methods(tiny, *arms), Precision())


def test_what_an_axis_varies_no_arm_may_set(tiny: Recipe) -> None:
    arm = {"name": "dense", "label": "strong", "training": {"weight_decay": 0.1}}
    recipe = with_methods(tiny, "dense", arm, axes={"training.weight_decay": [0, 1e-4]})
    with pytest.raises(InputError, match=r"strong sets training\.weight_decay, which is an axis"):
        expand(recipe, Precision())


def test_weight_decay_sweeps_dense_and_sparse_from_zero_on(tiny: Recipe) -> None:
    recipe = with_methods(tiny, "dense", "rigl", axes={"training.weight_decay": [0, 5e-4, 4e-3]})
    runs = planned(recipe).values()
    assert [(r.label, r.settings.training.weight_decay) for r in runs] == [
        (label, decay) for decay in (0, 5e-4, 4e-3) for label in ("dense", "rigl")
    ]
    assert len({files.value_digest(run.settings.identity()) for run in runs}) == 6


# ---- equal weights, equal compute


@pytest.mark.parametrize("name", ["resnet8", "vgg11", "wrn-10-2", "mlp", "resnet20"])
@pytest.mark.parametrize("sparsity", [0.0, 0.1, 0.5, 0.9])
def test_no_other_width_comes_nearer_to_the_active_weights(name: str, sparsity: float) -> None:
    def maskable(width: int) -> int:
        with torch.device("meta"):
            return sum(p.numel() for p in models.build(name, 10, width=width).parameters() if p.ndim > 1)

    found = narrowed(ModelSettings(name=name, width=24), sparsity, 10, 32)
    target = (1 - sparsity) * maskable(24)
    distances = {width: abs(maskable(width) - target) for width in range(1, 25)}
    assert found.model.width is not None
    assert distances[found.model.width] == min(distances.values())
    assert (found.n_weights, found.n_full) == (maskable(found.model.width), maskable(24))


def test_narrow_arms_are_dense_runs_at_every_sparsity_and_the_plan_says_their_widths(tiny: Recipe) -> None:
    arm = {"name": "dense", "label": "narrow", "narrow": True}
    recipe = with_methods(tiny, "dense", arm, sparsity=[0.3, 0.6], model={"name": "resnet8", "width": None})
    plan = plan_study(recipe)
    assert [run.name for run in plan.runs] == ["dense-s0-seed0", "narrow-s0.3-seed0", "narrow-s0.6-seed0"]
    for run in plan.runs[1:]:
        found = narrowed(recipe.model, run.settings.sparsity, 10, 32)
        assert run.settings.model == found.model
        assert f"width {found.model.width} of 16: {found.n_weights} of {found.n_full} weights" in run.note
        assert run.note in "\n".join(plan_lines(plan))
        assert plan.details[run.name]["n_active"] == found.n_weights
    with pytest.raises(InputError, match="timm:resnet18 has none"):
        narrowed(ModelSettings(name="timm:resnet18"), 0.5, 10, 32)


def slow_flops(run: PlannedRun) -> float:
    """Of a method whose layers hold one number of weights all the time: every step, every layer, one by one."""
    from regrow import sparsity
    from regrow.training.length import total_steps
    from regrow.training.method import build_method

    settings = run.settings
    network = models.build(settings.model.name, 10, width=settings.model.width)
    steps = total_steps(settings.training, 64)
    method = build_method(settings.method, settings.sparsity)
    plan = sparsity.plan(network, method, total_steps=steps)
    counted = cost.flops(network, (3, 32, 32), {row["name"]: row["density"] for row in plan["layers"]})
    updates = range(plan["interval"], int(0.75 * steps) + 1, plan["interval"]) if plan["interval"] else []
    due = {t for t in updates if t < 0.75 * steps}
    total = 0.0
    for t in range(1, steps + 1):
        total += 3 * counted["sparse"]
        if t in due and method.needs_gradient:
            total += counted["dense"] - counted["sparse"]
    return total * settings.training.batch * (2 if settings.training.sam else 1)


@pytest.mark.parametrize("training", [{"steps": 400}, {"steps": None, "epochs": 50}], ids=["steps", "epochs"])
def test_equal_compute_is_within_half_a_step_of_dense(tiny: Recipe, training: dict[str, Any]) -> None:
    recipe = with_methods(
        tiny,
        "dense",
        "rigl",
        {"name": "rigl", "label": "rigl_long", "compute": "forward_backward"},
        {"name": "static", "label": "static_long", "compute": "forward_backward"},
        {"name": "dense", "label": "dense_short", "compute_of": "rigl"},
        "pulse",
        {"name": "dense", "label": "dense_sam", "training": {"sam": 0.1}, "compute": "forward_backward"},
        sparsity=[0.5, 0.9],
        training=training,
        sparse={"updates": 12},
    )
    runs = planned(recipe)
    for run in runs.values():
        assert training_flops(run.settings, SIZE) == pytest.approx(slow_flops(run), rel=1e-9)
    dense = slow_flops(runs["dense-s0-seed0"])
    for sparsity in ("0.5", "0.9"):
        for label in ("rigl_long", "static_long"):
            run = runs[f"{label}-s{sparsity}-seed0"]
            assert run.settings.training.steps is not None
            assert run.settings.training.steps > 400 * 1.1
            assert abs(slow_flops(run) - dense) <= 0.51 * slow_flops(run) / run.settings.training.steps
        assert training_flops(runs[f"pulse-s{sparsity}-seed0"].settings, SIZE) == dense
        short = runs[f"dense_short-s{sparsity}-seed0"]
        target = slow_flops(runs[f"rigl-s{sparsity}-seed0"])
        assert abs(slow_flops(short) - target) <= 0.51 * dense / 400
    assert runs["dense_sam-s0-seed0"].settings.training.steps == 200


# ---- arms that start from others


CONTROLS = [
    "dense",
    "rigl",
    {"name": "static", "label": "final_mask", "allocation": "uniform", "source": {"label": "rigl", "masks": "final"}},
    {
        "name": "static",
        "label": "pruned",
        "source": {"label": "dense", "weights": "final", "masks": "magnitude"},
        "training": {"steps": 0},
    },
    {"name": "static", "label": "ticket", "source": {"label": "dense", "weights": 0.25, "masks": "magnitude"}},
    {"name": "dense", "label": "tuned", "source": {"label": "pruned", "weights": "final"}, "training": {"steps": 4}},
    "pulse",
    {"name": "dense", "label": "narrow", "narrow": True},
    {"name": "dense", "label": "dense_l1", "training": {"l1": 1e-4}, "model": {"blurpool": True, "dropout": 0.2}},
]


def test_a_run_starts_from_the_run_of_its_seed_axes_and_sparsity(tiny: Recipe) -> None:
    axes = {"training.lr": [0.1, 0.2]}
    recipe = with_methods(tiny, *CONTROLS, sparsity=[0.3, 0.6], seeds=[4, 7], axes=axes)
    runs = planned(recipe)
    for run in runs.values():
        tail = run.name.split("-s", 1)[1]
        wanted = {"final_mask": f"rigl-s{tail}", "tuned": f"pruned-s{tail}"}
        dense = f"dense-s0-{tail.split('-', 1)[1]}"
        assert run.source == {**wanted, "pruned": dense, "ticket": dense}.get(run.label)
        if run.source is not None:
            assert run.settings.source is not None
            identity = runs[run.source].settings.identity()
            assert run.settings.source.fingerprint == files.value_digest(identity)
        assert run.keeps == ((0.25,) if run.label == "dense" else ())
    other = planned(with_methods(tiny, *CONTROLS, training={"lr": 0.7}))
    base = planned(with_methods(tiny, *CONTROLS))
    sources = {n: (base[n].settings.identity().get("source"), other[n].settings.identity().get("source")) for n in base}
    changed = {n for n, (one, two) in sources.items() if one != two}
    assert {n.split("-")[0] for n in changed} == {"final_mask", "pruned", "ticket", "tuned"}
    alone = planned(with_methods(tiny, "dense"))["dense-s0-seed0"]
    assert alone.settings.identity() == base["dense-s0-seed0"].settings.identity()  # being a source leaves no trace


@pytest.mark.parametrize(
    ("arm", "words"),
    [
        ({"source": {"label": "dense", "masks": "final"}}, "the final masks of dense have"),
        ({"source": {"label": "rigl", "masks": "magnitude"}}, "sparse already"),
        ({"source": {"label": "rigl", "weights": "final"}}, "with other masks"),
        ({"source": {"label": "dense", "masks": "magnitude"}, "model": {"width": 6}}, "has shape"),
        ({"source": {"label": "short", "weights": 0.75, "masks": "magnitude"}}, "trains from 0 to 12"),
    ],
)
def test_sources_that_do_not_fit_are_refused_when_planned(tiny: Recipe, arm: dict[str, Any], words: str) -> None:
    short = {"name": "dense", "label": "short", "training": {"stop_after": 0.5}}
    with pytest.raises(InputError, match=words):
        plan_study(with_methods(tiny, "dense", "rigl", short, {"name": "static", "label": "a", **arm}))


@pytest.mark.system
def test_runs_start_from_what_their_source_left(tiny: Recipe, folder: Path) -> None:
    recipe = with_methods(tiny, *CONTROLS[:5], evaluation={"corruptions": ["contrast"], "severities": [1]})
    plan = plan_study(recipe)
    store = Store(folder)
    store.create(recipe, plan.precision, plan.probe, {})
    runs = {run.label: store.run(run.name) for run in store.prepare()}
    make_cells(recipe, store.cells, None)
    with pytest.raises(DataError, match=r"dense-s0-seed0/model\.safetensors is not there"):
        execute(runs["ticket"])
    for label in ("dense", "ticket", "rigl", "final_mask"):
        execute(runs[label])
        assert is_complete(runs[label], open_cells(store.cells, "cues"), store.recipe())
    left = {label: load_weights(run / "model.safetensors") for label, run in runs.items() if label != "pruned"}
    assert all(torch.equal(m, left["rigl"].masks[name]) for name, m in left["final_mask"].masks.items())
    assert files.read_json(runs["ticket"] / "result.json")["steps"] == 18
    known = files.read_json(runs["final_mask"] / "plan.json")  # not the allocation's counts: those of the masks
    assert {r["name"]: r["n_active"] for r in known["layers"]} == {
        name: int(mask.sum()) for name, mask in left["rigl"].masks.items()
    }
    (runs["dense"] / "weights-at-6.safetensors").unlink()
    assert not is_complete(runs["dense"], open_cells(store.cells, "cues"), store.recipe())


@pytest.mark.slow
def test_a_study_of_controls_runs_in_order_and_after_a_crash_of_the_source(tiny: Recipe, folder: Path, quiet) -> None:
    recipe = with_methods(tiny, *reversed(CONTROLS))
    plan = plan_study(recipe)
    Store(folder).create(recipe, plan.precision, plan.probe, {})
    Store(folder).prepare()
    broken = folder / "runs" / "dense-s0-seed0"
    (broken / "checkpoint.pt").write_bytes(b"no checkpoint")
    with pytest.raises(RunFailedError, match=r"4 of 9 runs failed.*dense-s0-seed0, which it starts from, failed"):
        run_study(recipe, folder, quiet, jobs=2)
    states = {path.name.split("-")[0]: get_state(path)["state"] for path in (folder / "runs").iterdir()}
    assert {label for label, state in states.items() if state == "done"} == {
        "rigl",
        "final_mask",
        "pulse",
        "narrow",
        "dense_l1",
    }
    (broken / "checkpoint.pt").unlink()
    quiet.kinds.clear()
    run_study(recipe, folder, quiet, jobs=2)
    order = {run.split("-")[0]: i for i, (run, kind) in enumerate(quiet.kinds) if kind == "started"}
    ended = {run.split("-")[0]: i for i, (run, kind) in enumerate(quiet.kinds) if kind == "done"}
    assert set(order) == {"dense", "pruned", "ticket", "tuned"}
    assert ended["dense"] < min(order["pruned"], order["ticket"])
    assert ended["pruned"] < order["tuned"]
    view = load_study(folder)
    assert {run.state for run in view.runs} == {"done"}
    assert (broken / "weights-at-6.safetensors").exists()
    results = {run.method: run.result for run in view.runs}
    assert {m: r["steps"] for m, r in results.items() if r} == {
        **dict.fromkeys(("dense", "rigl", "final_mask", "pulse", "narrow", "dense_l1"), 24),
        "pruned": 0,
        "ticket": 18,
        "tuned": 4,
    }
    final, again = (
        load_weights(folder / "runs" / f"{m}-s0.5-seed0" / "model.safetensors") for m in ("rigl", "final_mask")
    )
    assert all(torch.equal(mask, final.masks[name]) for name, mask in again.masks.items())

    found = arms_of(view)
    assert found[0].name == "dense"
    assert {a.name for a in found[1:]} == {
        "rigl 0.5",
        "final_mask 0.5",
        "pruned 0.5",
        "ticket 0.5",
        "tuned 0.5",
        "pulse 0.5",
        "narrow 0.5",
        "dense_l1",
    }
    assert all(reference_of(a, found) is found[0] for a in found)
    assert all(d.n == 1 for d in differences(found, lambda run: run.scores["clean", 0].accuracy))

    page = write_report(folder).read_text()
    assert all(arm.name in page for arm in found)
    assert "dense_l1 0" not in page

    (broken / "weights-at-6.safetensors").unlink()  # what others start from is part of what a run leaves
    before = (broken / "model.safetensors").read_bytes()
    run_study(recipe, folder, quiet, jobs=2)
    assert (broken / "weights-at-6.safetensors").exists()
    assert (broken / "model.safetensors").read_bytes() == before
