"""Data sets of files in folders: where they lie, their two parts, and what a study reads of them.

A set is made of a function that lists its parts (``Parts``); the rest is the same for all: options, classes, counts,
subsets and the words that must stand beside numbers.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from regrow import clips, seeds
from regrow.data import clips as clip_folders
from regrow.data import huggingface, imagenet, marker, packed, pictures
from regrow.data.cifar import SUBSET
from regrow.data.clips import ClipFolder
from regrow.data.fileset import ClipSource, FileSet, PictureSource, Source
from regrow.data.listing import Chosen, Listing, Pictures, check_classes
from regrow.data.listing import Source as Fingerprinted
from regrow.data.sampling import WAYS, Sampling
from regrow.data.scan import ON_ERROR, scan
from regrow.data.spec import DataSet, DataSpec, Labels, Options, Progress, Request, of_classes
from regrow.errors import DataError, InputError, UnknownNameError

#: Normalisation of ImageNet, which sets of photographs without one of their own use.
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SPLITS = ("train", "test")
#: Names of the classes of published sets until their files say them.
UNNAMED = "class {}"
#: Files that were skipped which are named one by one beside numbers.
LISTED = 20

#: Options of all sets of pictures.
#: ``packed`` = shorter side in pixels at which pictures are kept, once decoded, in few files below the last data root;
#: 0 = they are decoded from their own files each time.
PICTURES: Options = {"size": 224, "classes": [], "on_error": "raise", "packed": 0}
#: Options of all sets of clips.
CLIPS: Options = {
    "size": 224,
    "classes": [],
    "on_error": "raise",
    "frames": 32,
    "sampling": "uniform",
    "stride": 1,
    "views": 1,
    "train_part": [0.0, 1.0],
    "test_part": [0.0, 1.0],
    "held": 0,
}


@dataclass(frozen=True)
class Part:
    """One split: a list of files, and which of them.

    Attributes:
        listing: the files.
        index: int64 (n,), their places in the list.
    """

    listing: Pictures | Listing
    index: Labels

    @staticmethod
    def whole(listing: Pictures | Listing) -> Part:
        """All files of a list."""
        return Part(listing, np.arange(len(listing)))

    def labels(self) -> Labels:
        """Class numbers in the list's own classes, int64 (n,)."""
        return np.asarray(self.listing.labels, np.int64).reshape(-1)[self.index]


@dataclass(frozen=True)
class Parts:
    """Both splits of a set.

    Attributes:
        train: for training.
        test: for tests; its classes are the same.
        caveats: what must be said beside numbers.
    """

    train: Part
    test: Part
    caveats: tuple[str, ...] = field(default=())


#: From options and data roots to a set's parts.
Lister = Callable[[Options, Sequence[Path]], Parts]
#: From a part, the options and the split to the names of the files that cannot be used, and why not.
Check = Callable[[Part, Options, str], list[tuple[str, str]]]


def place(given: str, roots: Sequence[Path], what: str) -> Path:
    """A folder or file that a recipe names: absolute, or below a data root, or below the current folder.

    Raises:
        DataError: it is nowhere.
        InputError: no name at all.
    """
    if not given:
        raise InputError(f"{what} needs the option path.", "e.g. options: {path: my_pictures}.")
    path = Path(given).expanduser()
    places = [path] if path.is_absolute() else [*(root / path for root in roots), path]
    found = next((where for where in places if where.exists()), None)
    if found is None:
        raise DataError(
            f"{given} is neither below a data root ({', '.join(map(str, roots))}) nor here.",
            "give its path, or name its root with --data-root or REGROW_DATA.",
        )
    return found


def picture_set(spec: DataSpec, lister: Lister, find: Callable[[Sequence[Path], str | None], Path | None]) -> DataSet:
    """The entry of a set of pictures; ``spec`` has no classes of its own, its options hold ``PICTURES``."""
    return _data_set(spec, lister, find, _picture_source, _check_pictures)


def _picture_source(listing: Pictures | Listing, options: Options, _: str, roots: Sequence[Path]) -> Source:
    side = int(options["packed"])
    if side:
        given: Fingerprinted = listing  # type: ignore[assignment]
        folder = roots[-1] / "packs" / f"{given.fingerprint()[:24]}-{side}"
        listing = packed.pack(given, folder, packed.Form(side=side))
    return PictureSource(listing, int(options["size"]))  # type: ignore[arg-type]


def clip_set(spec: DataSpec, lister: Lister, find: Callable[[Sequence[Path], str | None], Path | None]) -> DataSet:
    """The entry of a set of clips; ``spec`` has no classes of its own, its options hold ``CLIPS``."""
    return _data_set(spec, lister, find, _clip_source, _check_clips)


def _clip_source(listing: Pictures | Listing, options: Options, split: str, _: Sequence[Path]) -> Source:
    assert isinstance(listing, Listing)
    first, last = options[f"{split}_part"]
    return ClipSource(listing, int(options["size"]), sampling_of(options), (first, last), int(options["held"]))


def sampling_of(options: Options) -> Sampling:
    """How the clips of a set are cut.

    Raises:
        InputError: an option that cannot be.
    """
    if options["sampling"] not in WAYS:
        raise UnknownNameError("sampling", options["sampling"], WAYS, "options: {sampling: uniform}.")
    _require_positive(options, "frames", "stride", "views")
    for key in ("train_part", "test_part"):
        part = options[key]
        if len(part) != 2 or not all(isinstance(x, int | float) for x in part) or not 0 <= part[0] < part[1] <= 1:
            raise InputError(f"option {key!r} must be two shares such as [0, 0.6], got {part!r}.")
    return Sampling(options["frames"], options["sampling"], options["stride"], options["views"])


def _require_positive(options: Options, *keys: str) -> None:
    for key in keys:
        if options[key] < 1:
            raise InputError(f"option {key!r} must be a whole number from 1 on, got {options[key]!r}.")


def nominal(base: DataSpec, options: Options) -> DataSpec:
    """The published facts of a set under its options, without its files; of chosen classes an equal share of images.

    Where only the files say the classes' names, chosen ones are taken as they are.
    """
    chosen = options.get("classes", [])
    if len(chosen) > 1 and base.classes[0] == UNNAMED.format(0):
        classes = tuple(sorted(map(str, chosen)))
    else:
        classes = of_classes(base, chosen).classes
    counts = {split: count * len(classes) // base.n_classes for split, count in base.splits.items()}
    sampling = sampling_of(options) if "frames" in options else None
    return replace(
        base,
        classes=classes,
        splits=counts,
        image_size=int(options.get("size", base.image_size)),
        frames=sampling.frames if sampling else None,
        views=sampling.views if sampling else 1,
    )


def _data_set(
    base: DataSpec,
    lister: Lister,
    find: Callable[[Sequence[Path], str | None], Path | None],
    source: Callable[[Pictures | Listing, Options, str, Sequence[Path]], Source],
    check: Check,
) -> DataSet:
    @functools.lru_cache(maxsize=32)
    def cached(options_text: str, roots: tuple[Path, ...]) -> tuple[DataSpec, Parts, dict[str, tuple[Any, ...]]]:
        return _described(base, lister, json.loads(options_text), roots, check)

    def described(options: Options, roots: Sequence[Path]) -> tuple[DataSpec, Parts, dict[str, tuple[Any, ...]]]:
        return cached(json.dumps(dict(options), sort_keys=True), tuple(roots))

    def read(request: Request) -> FileSet:
        spec, parts, skipped = described(request.options, request.roots)
        part = getattr(parts, request.split)
        labels = _renumbered(part, spec)
        order = np.arange(len(labels))
        if request.n is not None:
            order = seeds.permutation(0, "data", SUBSET, n=len(labels)) if request.split == "train" else order
            order = order[: request.n]
        made = source(part.listing, request.options, request.split, request.roots)
        return FileSet(made, labels[order], spec, request.split, part.index[order], skipped[request.split])

    def refuse(roots: Sequence[Path], _: Progress | None) -> Path:
        raise DataError(f"{base.name} not found below {', '.join(map(str, roots))}.", base.hint)

    fetch = refuse if base.splits else None  # sets without splits of their own lie where a recipe says
    return DataSet(base, read, find, fetch, lambda options, roots: described(options, roots)[0])


def _described(
    base: DataSpec,
    lister: Lister,
    options: Options,
    roots: Sequence[Path],
    check: Check,
) -> tuple[DataSpec, Parts, dict[str, tuple[Any, ...]]]:
    if options["on_error"] not in ON_ERROR:
        raise UnknownNameError("on_error", options["on_error"], ON_ERROR, "options: {on_error: skip}.")
    _require_positive(options, "size")
    frames, views = None, 1
    if "frames" in options:
        sampling = sampling_of(options)
        frames, views = sampling.frames, sampling.views
    parts = lister(options, roots)
    named = replace(base, classes=tuple(parts.train.listing.classes))
    spec = of_classes(named, options["classes"])
    if options["classes"]:
        parts = replace(parts, train=_of(parts.train, spec), test=_of(parts.test, spec))
    skipped: dict[str, tuple[Any, ...]] = {"train": (), "test": ()}
    caveats = [*parts.caveats, *marker.caveats(_places(parts))]
    if options["on_error"] == "skip":
        for split in SPLITS:
            part: Part = getattr(parts, split)
            skipped[split] = tuple(check(part, options, split))
            bad = {path for path, _ in skipped[split]}
            keep = np.array([part.listing.path(int(i)) not in bad for i in part.index], bool)
            kept = Part(part.listing, part.index[keep])
            parts = replace(parts, train=kept) if split == "train" else replace(parts, test=kept)
        files = list(dict.fromkeys(row for split in SPLITS for row in skipped[split]))
        if files:
            shown = [f"{path}, {reason.rstrip('.')}" for path, reason in files[:LISTED]]
            shown += [f"and {len(files) - LISTED} more"] if len(files) > LISTED else []
            caveats.append(f"{len(files)} files that cannot be read were skipped: {'; '.join(shown)}")
    if spec.n_classes == 1:
        raise DataError(
            f"{parts.train.listing.name} has the class {spec.classes[0]!r} alone: there is nothing to tell apart.",
            "give files of two classes or more.",
        )
    for split in SPLITS:
        _require_classes(getattr(parts, split), spec, split)
    counts = {split: len(getattr(parts, split).index) for split in SPLITS}
    spec = replace(
        spec,
        image_size=int(options["size"]),
        splits=counts,
        caveat="; ".join(caveats),
        frames=frames,
        views=views,
    )
    return spec, parts, skipped


def _places(parts: Parts) -> list[Path]:
    """Where the files of a set are: its folders, and files that are named apart from them."""
    found = [part.listing for part in (parts.train, parts.test) if isinstance(part.listing, Listing)]
    apart = [Path(place) for listing in found for place in listing.places if os.path.isabs(place)]
    return [*(listing.root for listing in found), *apart]


def _of(part: Part, spec: DataSpec) -> Part:
    """The files of a set's classes."""
    wanted = set(spec.classes)
    keep = np.array([part.listing.classes[label] in wanted for label in part.labels()], bool)
    return Part(part.listing, part.index[keep])


def _renumbered(part: Part, spec: DataSpec) -> Labels:
    """Labels by the set's classes."""
    number = {name: k for k, name in enumerate(spec.classes)}
    table = np.array([number.get(name, -1) for name in part.listing.classes], np.int64)
    return table[part.labels()]


def _require_classes(part: Part, spec: DataSpec, split: str) -> None:
    if not len(part.index):
        raise DataError(f"{part.listing.name} has nothing to {split} on.", "give it files, or another path.")
    used = {part.listing.classes[label] for label in part.labels()}
    strange = sorted(used - set(spec.classes))
    if strange:
        raise DataError(
            f"class {strange[0]!r} of the test files is no class of the training files.",
            "give both parts the same class folders.",
        )
    if split == "train":
        empty = [name for name in spec.classes if name not in used]
        if empty:
            raise DataError(f"class {empty[0]!r} has no training file.", "add files, or leave the class out.")


def _check_pictures(part: Part, _: Options, __: str) -> list[tuple[str, str]]:
    return list(scan(Chosen(part.listing, part.index), "skip").skipped)  # type: ignore[arg-type]


def _check_clips(part: Part, options: Options, split: str) -> list[tuple[str, str]]:
    assert isinstance(part.listing, Listing)
    sampling, bad = sampling_of(options), []
    for i in part.index:
        name = part.listing.path(int(i))
        try:
            clip = clips.read(part.listing.place(int(i)), name=name, whole=True)
        except DataError as error:
            bad.append((name, error.message.removeprefix(f"{name} ")))
            continue
        first, last = (int(share * len(clip)) for share in options[f"{split}_part"])
        if last - first < sampling.span:
            bad.append((name, f"{last - first} frames of {len(clip)} where {sampling.span} are needed"))
    return bad


def held_out(listing: Pictures | Listing, share: float, *, same: bool) -> Parts:
    """Parts of one list of files: a share of each class for tests, or, if that is asked for, all files for both.

    Args:
        listing: the files.
        share: of each class, at least one file, by a random order that the files' names settle: files that are added
            later move few of the others.
        same: train and test on the same files.

    Raises:
        DataError: a class has so few files that none is left for training.
    """
    single = _single_note(listing)
    if same:
        note = "train and test files are the same: accuracy is memorisation, it says nothing of new images"
        return Parts(Part.whole(listing), Part.whole(listing), (note, *single))
    by_class: list[list[int]] = [[] for _ in listing.classes]
    for i, label in enumerate(Part.whole(listing).labels()):
        by_class[label].append(i)
    test: list[int] = []
    for name, own in zip(listing.classes, by_class, strict=True):
        n = max(1, round(share * len(own)))
        if n >= len(own):
            raise DataError(
                f"class {name!r} of {listing.name} has {len(own)} of the files: {share:g} of them held out for tests "
                "leaves none to train on.",
                "add files, or give train/ and test/ folders, or say train_is_test: true.",
            )
        test += sorted(own, key=lambda i: _digest(listing.path(i)))[:n]
    rest = np.setdiff1d(np.arange(len(listing)), test)
    note = f"no test part of its own: {share:g} of the files of each class, by a fixed random order, are held out"
    return Parts(Part(listing, rest), Part(listing, np.array(sorted(test))), (note,))


def _digest(name: str) -> bytes:
    return hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest()


def _single_note(listing: Pictures | Listing) -> tuple[str, ...]:
    counts = np.bincount(Part.whole(listing).labels(), minlength=len(listing.classes))
    return ("one file a class",) if len(counts) and counts.max() == 1 else ()


def image_folder(options: Options, roots: Sequence[Path]) -> Parts:
    """Any folder of pictures with a sub-folder for each class, or with ``train`` and ``test`` that have them."""
    path, side = place(options["path"], roots, "image_folder"), int(options["size"])
    same, is_split = options["train_is_test"], (path / "train").is_dir()
    if same or not is_split:
        listing = pictures.labelled(path, "train" if is_split else None, side)
        return held_out(listing, options["test_share"], same=same)
    train, test = (pictures.labelled(path, split, side) for split in SPLITS)
    return Parts(Part.whole(train), Part.whole(test))


def imagenet_parts(options: Options, roots: Sequence[Path]) -> Parts:
    """ImageNet in any of its official layouts; of a folder ``path``, or where it is found below a data root."""
    side, cache = int(options["size"]), roots[-1]
    given = options["path"]
    if options["train_is_test"]:
        folder = place(given, roots, "imagenet") if given else imagenet.require(roots, "test")
        return held_out(imagenet.load(folder, "test", side=side, cache=cache), 0.0, same=True)
    folder = place(given, roots, "imagenet") if given else imagenet.require(roots)
    train, test = (imagenet.load(folder, split, side=side, cache=cache) for split in SPLITS)
    return Parts(Part.whole(train), Part.whole(test))


def table(options: Options, roots: Sequence[Path]) -> Parts:
    """A data set of Hugging Face on disk, of a folder ``path``."""
    path = place(options["path"], roots, "huggingface")

    def split(name: str) -> huggingface.TablePictures:
        image, label = options["image"] or None, options["label"] or None
        return huggingface.load(path, name, image=image, label=label, cache=roots[-1])

    train = split(options["train_split"])
    if options["train_is_test"]:
        return held_out(train, 0.0, same=True)
    try:
        test = split(options["test_split"])
    except DataError:
        if options["test_split"] != "test":
            raise
        return held_out(train, options["test_share"], same=False)
    if test.sources == train.sources:  # one table that names no split is found by any name
        return held_out(train, options["test_share"], same=False)
    check_classes(train, test)
    return Parts(Part.whole(train), Part.whole(test))


def nowhere(_roots: Sequence[Path], _split: str | None) -> Path | None:
    """Sets that are found by a path of the recipe alone."""
    return None


def video_folder(options: Options, roots: Sequence[Path]) -> Parts:
    """Any folders of videos: the class of each is its sub-folder or, with ``class_by: file``, the video itself."""
    if options["class_by"] not in ("folder", "file"):
        raise UnknownNameError("class_by", options["class_by"], ("folder", "file"), "options: {class_by: folder}.")
    if not options["paths"]:
        raise InputError("video_folder needs the option paths.", "e.g. options: {paths: [my_videos]}.")
    found = [place(str(path), roots, "video_folder") for path in options["paths"]]
    same = options["train_is_test"] or options["class_by"] == "file"
    has_parts = len(found) == 1 and (found[0] / "train").is_dir() and options["class_by"] == "folder"
    if has_parts and same:
        found = [found[0] / "train"]
    elif has_parts:
        train, test = (folders_of_clips([pictures.split_folder(found[0], split)], options) for split in SPLITS)
        return Parts(Part.whole(train), Part.whole(test))
    listing = folders_of_clips(found, options)
    if same and _apart(options):
        note = "train and test clips are different frames of the same videos: nothing is said of new videos"
        return Parts(Part.whole(listing), Part.whole(listing), (note, *_single_note(listing)))
    return held_out(listing, options["test_share"], same=same)


def _apart(options: Options) -> bool:
    """Whether the frames for training and for tests do not overlap."""
    (first, last), (start, end) = options["train_part"], options["test_part"]
    return bool(last <= start or end <= first)


def folders_of_clips(paths: Sequence[Path], options: Options) -> ClipFolder:
    """The videos of some folders as one list."""
    rows: list[tuple[str, str, str]] = []  # class, name, place
    for path in paths:
        listing = clip_folders.folder(path) if path.is_dir() else None
        found = [path] if listing is None else [listing.place(i) for i in range(len(listing))]
        for i, file in enumerate(found):
            inside = listing is not None and "/" in listing.path(i)
            by_folder = listing.classes[listing.label(i)] if listing and inside else file.resolve().parent.name
            group = file.stem if options["class_by"] == "file" else by_folder
            rows.append((group, f"{group}/{file.name}", str(file.resolve())))
    rows.sort()
    twice = next((a[1] for a, b in itertools.pairwise(rows) if a[1] == b[1]), None)
    if twice is not None:
        raise DataError(f"two videos are called {twice}.", "rename one, or give fewer folders.")
    classes = sorted({group for group, _, _ in rows})
    number = {name: k for k, name in enumerate(classes)}
    return ClipFolder(
        name="+".join(path.name for path in paths),
        root=paths[0],
        files=tuple(name for _, name, _ in rows),
        labels=tuple(number[group] for group, _, _ in rows),
        classes=tuple(classes),
        side=int(options["size"]),
        places=tuple(where for _, _, where in rows),
    )


def find_ucf101(roots: Sequence[Path], _: str | None = None) -> Path | None:
    """The folder with ``UCF-101`` and ``ucfTrainTestlist`` in it, below a root or the root itself."""
    places = [where for root in roots for where in (root / "ucf101", root / "UCF101", root)]
    return next((where for where in places if clip_folders.is_ucf101(where)), None)


def ucf101(base: DataSpec, options: Options, roots: Sequence[Path]) -> Parts:
    """UCF101 by one of its three official splits."""
    number = options["split"]
    if number not in (1, 2, 3):
        raise InputError(f"option 'split' of ucf101 must be 1, 2 or 3, got {number!r}.")
    path = find_ucf101(roots)
    if path is None:
        raise DataError(f"ucf101 not found below {', '.join(map(str, roots))}.", base.hint)
    train, test = (
        clip_folders.ucf101(path, f"{split}0{int(number)}", int(options["size"])) for split in ("train", "test")
    )
    missing = [*train.missing, *test.missing]
    if not missing:
        return Parts(Part.whole(train), Part.whole(test))
    total = len(missing) + len(train) + len(test)
    note = f"{len(missing)} of the {total} clips of split {number} are missing"
    if not options["partial"]:
        raise DataError(f"{note}, the first is {missing[0]}.", "unpack UCF101 whole, or set options: {partial: true}.")
    names = sorted({train.classes[label] for label in train.labels})
    return Parts(_among(Part.whole(train), names), _among(Part.whole(test), names), (note,))


def _among(part: Part, names: Sequence[str]) -> Part:
    """The part of a list of clips that is of some classes, with these classes alone."""
    listing = part.listing
    assert isinstance(listing, ClipFolder)
    keep = [i for i in range(len(listing)) if listing.classes[listing.label(i)] in names]
    numbers = tuple(names.index(listing.classes[listing.label(i)]) for i in keep)
    files = tuple(listing.files[i] for i in keep)
    places = tuple(listing.places[i] for i in keep) if listing.places else ()
    return Part.whole(replace(listing, files=files, labels=numbers, classes=tuple(names), places=places))
