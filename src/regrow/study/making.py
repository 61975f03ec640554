"""Making the test images of a study: clean and corrupted, from arrays, pictures, clips and published sets."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from regrow import corruptions, data, files
from regrow.corruptions import stand_ins
from regrow.corruptions.frost import folder_under
from regrow.corruptions.writer import caveats
from regrow.data.batches import Rows
from regrow.data.fileset import ClipSource
from regrow.data.on_disk import place
from regrow.data.published import LazyPictures, open_published
from regrow.data.spec import DataSpec
from regrow.errors import DataError, InputError, UnknownNameError
from regrow.study.cells import SCHEMA, CellSet, load_array, set_of
from regrow.study.kinds import clip_change, corrupted, kind_of
from regrow.study.recipe import EvaluationSettings, Recipe


def wanted_corruptions(recipe: Recipe, spec: DataSpec) -> list[str]:
    """All corruptions of a recipe in order: those that are made, published types, stand-ins; unknown are refused."""
    chosen = recipe.evaluation
    unknown = [name for name in chosen.stand_ins if name not in stand_ins.NAMES]
    if unknown:
        raise UnknownNameError("stand-in", unknown[0], stand_ins.NAMES, "correct evaluation.stand_ins.")
    if not spec.is_images and (chosen.published or chosen.stand_ins):
        raise InputError(
            f"evaluation.published and evaluation.stand_ins are of images, {spec.name} holds {spec.noun}.",
            "leave them out.",
        )
    published = chosen.published.corruptions if chosen.published else []
    return list(dict.fromkeys([*kind_of(spec).names(chosen), *published, *chosen.stand_ins]))


def make_cells(
    recipe: Recipe, folder: Path, data_root: Path | None, progress: Callable[[int, int], None] = lambda done, all_: None
) -> CellSet:
    """Make the cells of a study that are not there yet, and check those that are.

    Args:
        recipe: names the data set, the number of images, corruptions, severities and the seed.
        folder: ``STUDY/cells``.
        data_root: where data sets lie, or None for the usual places.
        progress: called with (cells done, all cells).
    """
    chosen, name = recipe.evaluation, recipe.data.name
    spec = data.spec(name, recipe.data.options, data_root)
    kind, frost = kind_of(spec), folder_under(data_root)
    names = kind.names(chosen)
    test = data.load(name, "test", root=data_root, options=recipe.data.options, n=recipe.data.test_images)
    notes = kind.notes(chosen, spec.image_size, frost)
    notes += [spec.caveat] if spec.caveat else []
    notes += [stand_ins.NOTE] if chosen.stand_ins else []
    if chosen.published:
        notes += caveats(place(chosen.published.folder, data.find_root(data_root), "evaluation.published"))
    options: dict[str, Any] = {"seed": chosen.seed, "stored": chosen.stored}
    options |= {"column": chosen.column} if spec.frames is not None else {"mode": chosen.mode}
    source: dict[str, Any] = {
        "data": recipe.data.model_dump(mode="json", exclude={"train_images", "workers"}),
        **options,
        "on_the_fly": chosen.on_the_fly,
        "notes": notes,  # they say which photographs were used
        "corruptions": names,
        "severities": chosen.severities,
    }
    if isinstance(test, data.FileSet):
        source["files"] = test.digest
    if chosen.stand_ins:
        source["stand_ins"] = chosen.stand_ins
    published = _published(recipe, data_root, spec.image_size)
    index = folder / "index.json"
    stored: dict[str, Any] = files.read_json(index) if index.exists() else {}
    if not (stored.get("schema") == SCHEMA and stored.get("source") == source and _whole(folder, stored["digests"])):
        made = _make(test, chosen, folder, names, notes, {**options, "frost": frost}, progress)
        stored = {"schema": SCHEMA, "source": source, "notes": notes, **made, "spec": spec.as_json()}
        stored["options"] = {**options, "frost": str(frost) if frost else None}
        if spec.is_images:
            stored["scale"] = corruptions.choose_scale(spec.image_size).name
    if chosen.stand_ins:
        published |= _stand_ins(test, chosen, folder, stored.get("published", {}))
    if stored.get("published", {}) != published or not index.exists() or files.read_json(index) != stored:
        stored["published"] = published
        files.write_json(index, stored)
    return set_of(folder, name, stored, lambda: test)


STAND_INS = "stand-ins"


def _make(
    test: data.ImageSet | data.FileSet,
    chosen: EvaluationSettings,
    folder: Path,
    names: Sequence[str],
    notes: list[str],
    options: dict[str, Any],
    progress: Callable[[int, int], None],
) -> dict[str, Any]:
    """Write the cells of a study; returns their digests, and those of what cells are made from that are not stored."""
    prefix, notes_options = test.spec.name, {**options, "frost": str(options["frost"]) if options["frost"] else None}
    digests = {"labels.npy": _save(folder / "labels.npy", test.labels)}
    cells = [(name, s) for name in names for s in chosen.severities]
    is_clips = test.spec.frames is not None
    clean = f"{prefix}.clean.0.npy"
    if is_clips and chosen.on_the_fly:
        assert isinstance(test, data.FileSet)
        made_from = {"files": test.digest, "spec": test.spec.as_json(), "schema": SCHEMA, **notes_options}
        every = [("clean", 0), *cells]
        virtual = {f"{prefix}.{n}.{s}.npy": files.value_digest({**made_from, "cell": [n, s]}) for n, s in every}
        return {"digests": digests, "virtual": virtual}
    if is_clips:
        assert isinstance(test, data.FileSet)
        digests |= _save_clips(test, [("clean", 0), *cells], folder, options, progress)
        return {"digests": digests, "virtual": {}}
    if isinstance(test, data.ImageSet) and not test.spec.is_images:
        digests[clean] = _save(folder / clean, test.images)
    else:
        digests[clean] = _save_rows(folder / clean, test.images, test.spec)
    if chosen.on_the_fly:
        plain = {key: value for key, value in options.items() if key != "frost"}
        made_from = {"clean": digests[clean], "schema": SCHEMA, "notes": notes, **plain}
        virtual = {f"{prefix}.{n}.{s}.npy": files.value_digest({**made_from, "cell": [n, s]}) for n, s in cells}
        return {"digests": digests, "virtual": virtual}
    images = load_array(folder / clean, "r")

    def make(cell: tuple[str, int]) -> tuple[str, str]:
        file = f"{prefix}.{cell[0]}.{cell[1]}.npy"
        return file, _save(folder / file, corrupted(images, test.spec, *cell, options))

    with ThreadPoolExecutor(usable_cores()) as pool:
        for done, (file, digest) in enumerate(pool.map(make, cells)):
            progress(done, len(cells))
            digests[file] = digest
    progress(len(cells), len(cells))
    return {"digests": digests, "virtual": {}}


def _save_clips(
    test: data.FileSet,
    cells: Sequence[tuple[str, int]],
    folder: Path,
    options: Mapping[str, Any],
    progress: Callable[[int, int], None],
) -> dict[str, str]:
    """All cells of clips, video after video: each is read once."""
    source = test.source
    assert isinstance(source, ClipSource)
    spec = test.spec
    shape = (len(test), spec.views, spec.frames or 0, spec.image_size, spec.image_size, 3)
    targets = {cell: folder / f"{spec.name}.{cell[0]}.{cell[1]}.npy" for cell in cells}
    with contextlib.ExitStack() as stack:
        places = {cell: stack.enter_context(files.atomic_path(path)) for cell, path in targets.items()}
        arrays = {cell: _new_array(path, shape) for cell, path in places.items()}

        def make(number: int) -> None:
            clip = source.clip(int(test.index[number]))
            for cell, array in arrays.items():
                array[number] = source.views(clip_change(*cell, options)(clip, number).frames)

        with ThreadPoolExecutor(usable_cores()) as pool:
            for done, _ in enumerate(pool.map(make, range(len(test)))):
                progress(done * len(cells) // len(test), len(cells))
        for array in arrays.values():
            array.flush()
    progress(len(cells), len(cells))
    return {path.name: files.file_digest(path) for path in targets.values()}


def _stand_ins(
    test: data.ImageSet | data.FileSet, chosen: EvaluationSettings, folder: Path, before: Mapping[str, Any]
) -> dict[str, Any]:
    """Folder and digests of the stand-ins; written where they are not there as they were."""
    place, spec = folder / STAND_INS, test.spec

    def digests() -> dict[str, Any]:
        return _digests_of_set(place, chosen.stand_ins, chosen.severities, spec.image_size)

    with contextlib.suppress(DataError, UnknownNameError):  # some are gone
        found = digests()
        if all(before.get(name) == rows for name, rows in found.items()):
            return found
    clean = load_array(folder / f"{spec.name}.clean.0.npy", "r")
    stand_ins.write(place, clean, test.labels, spec.classes, chosen.stand_ins, chosen.severities)
    return digests()


def _published(recipe: Recipe, data_root: Path | None, side: int) -> dict[str, Any]:
    """Folder and digests of the types that are read from a published set."""
    given = recipe.evaluation.published
    if given is None:
        return {}
    path = place(given.folder, data.find_root(data_root), "evaluation.published")
    names = given.corruptions or open_published(path).corruptions
    return _digests_of_set(path, names, recipe.evaluation.severities, side)


def _digests_of_set(path: Path, names: Sequence[str], severities: Sequence[int], side: int) -> dict[str, Any]:
    """Of a published set: corruption -> its folder and, for each severity, the digest of its list of files.

    Raises:
        DataError: its images are not of the study's size.
    """
    opened = open_published(path)
    found: dict[str, Any] = {}
    for name in names:
        digests = {}
        for severity in severities:
            cell = opened.cell(name, severity)
            height, width = cell.images[:1].shape[1:3]
            if (height, width) != (side, side):
                raise DataError(
                    f"the images of {path} have {width} x {height} pixels, those of the study {side} x {side}.",
                    "give a set of the study's size, or set the option size of its data.",
                )
            made_of: list[Any] = [len(cell.labels)]
            if isinstance(cell.images, LazyPictures):
                made_of += [[file.parent.name, file.name, file.stat().st_size] for file in cell.images.files]
            digests[str(severity)] = files.value_digest([str(path), name, severity, made_of])
        found[name] = {"folder": str(path), "digests": digests}
    return found


def usable_cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _new_array(path: Path, shape: tuple[int, ...]) -> np.memmap[Any, np.dtype[np.uint8]]:
    """An array to be filled in its file, whose space on the disk is taken now.

    Raises:
        OSError: the disk is full. Without its space a full disk would be no error later, but the end of the process.
    """
    array: np.memmap[Any, np.dtype[np.uint8]] = np.lib.format.open_memmap(path, "w+", np.uint8, shape)
    if hasattr(os, "posix_fallocate"):
        with path.open("rb+") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    return array


def _save_rows(path: Path, rows: Rows, spec: DataSpec) -> str:
    """Write images that may have to be decoded, in bounded memory."""
    shape = (len(rows), spec.image_size, spec.image_size, 3)
    with files.atomic_path(path) as temporary:
        array = _new_array(temporary, shape)
        for start in range(0, len(rows), 256):
            array[start : start + 256] = rows[start : start + 256]
        array.flush()
    return files.file_digest(path)


def _save(path: Path, array: npt.NDArray[Any]) -> str:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    files.write_bytes(path, buffer.getvalue())
    return files.file_digest(path)


def _whole(folder: Path, digests: dict[str, str]) -> bool:
    return all((folder / f).exists() and files.file_digest(folder / f) == digest for f, digest in digests.items())
