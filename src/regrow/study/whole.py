"""Analyses of a study as a whole: spectra of its corruptions, and what the masks of its seeds share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from regrow import analysis, files
from regrow.data.spec import Images
from regrow.study.cells import CellSet
from regrow.study.plan import PlannedRun
from regrow.study.store import Store, get_state
from regrow.training.checkpoint import load_weights

#: Images of every cell that the spectra are taken over, and of cells that are not stored but made anew.
SPECTRUM_IMAGES, SPECTRUM_IMAGES_MADE = 200, 32
#: Images a batch.
BATCH = 50
VERSION = 2


def analyse_study(store: Store, cells: CellSet, planned: Sequence[PlannedRun]) -> None:
    """Write ``analysis/NAME.json`` of the study, each with what it was made from; what is current is left."""
    digests = {f"{name}.{severity}": digest for (name, severity), digest in sorted(cells.digests.items())}
    _keep(store.folder, "corruption_spectra", digests, lambda: corruption_spectra(cells))
    done = [run for run in planned if get_state(store.run(run.name))["state"] == "done"]
    weights = {run.name: files.file_digest(store.run(run.name) / "model.safetensors") for run in done}
    _keep(store.folder, "mask_overlap", weights, lambda: mask_overlaps(store, done))


def _keep(folder: Path, name: str, inputs: Mapping[str, str], make: Callable[[], dict[str, Any] | None]) -> None:
    path = folder / "analysis" / f"{name}.json"
    made_from = {"version": VERSION, "inputs": files.value_digest(dict(inputs))}
    if path.exists() and files.read_json(path).get("made_from") == made_from:
        return
    found = make()
    if found is None:
        path.unlink(missing_ok=True)
        return
    files.write_json(path, {**found, "made_from": made_from})


def corruption_spectra(cells: CellSet) -> dict[str, Any] | None:
    """What each corruption adds to clean images, by frequency; None of anything but images.

    Types of a published set are left out: nothing says which clean image each of theirs was made from.

    Returns:
        {"n", "radius", "rows" (`regrow.analysis.by_share`), "share", "share_whitened": type -> share of power above a
        quarter of the side, mean over severities, "profiles": type -> severity -> rows of radius and power}.
    """
    if not cells.spec.is_images:
        return None
    n = SPECTRUM_IMAGES if cells.live is None else SPECTRUM_IMAGES_MADE
    clean = cells.images("clean", 0, n)
    spectrum = analysis.clean_spectrum(clean[k : k + BATCH] for k in range(0, len(clean), BATCH))
    found: dict[str, dict[int, dict[str, Any]]] = {}
    for name, severity in cells.digests:
        if severity and name not in cells.published and cells.is_there(name, severity):
            pairs = _pairs(clean, cells.images(name, severity, n))
            found.setdefault(name, {})[severity] = analysis.change_spectrum(pairs, clean=spectrum)
    if not found:
        return None
    rows = analysis.by_share(found)
    return {
        "n": len(clean),
        "radius": cells.spec.image_size / 4,
        "rows": rows,
        "share": {row["corruption"]: row["share"] for row in rows},
        "share_whitened": {row["corruption"]: row["share_whitened"] for row in rows},
        "profiles": {name: {str(s): one["profile"] for s, one in by.items()} for name, by in found.items()},
    }


def _pairs(clean: Images, corrupted: Images) -> Iterator[tuple[Images, Images]]:
    for k in range(0, len(clean), BATCH):
        yield clean[k : k + BATCH], corrupted[k : k + BATCH]


def mask_overlaps(store: Store, done: Sequence[PlannedRun]) -> dict[str, Any] | None:
    """What the final masks of the seeds of each arm share, beside chance; None where no arm has two sparse runs."""
    arms: dict[str, list[str]] = {}
    for run in done:
        arms.setdefault(run.name.rpartition("-seed")[0], []).append(run.name)
    found = {}
    for arm, names in arms.items():
        masks = [load_weights(store.run(name) / "model.safetensors").masks for name in names]
        if len(masks) > 1 and all(masks):
            found[arm] = analysis.seed_overlap(masks)
    return {"arms": found} if found else None
