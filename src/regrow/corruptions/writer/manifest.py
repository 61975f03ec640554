"""What a set was made from and by, and what of it is whole: ``manifest.json``."""

from __future__ import annotations

import contextlib
import errno
import importlib.metadata
import platform
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import regrow
from regrow import files
from regrow.corruptions import registry
from regrow.corruptions.cells import corrupt_set, provenance
from regrow.corruptions.inputs import check_seed, check_severity
from regrow.corruptions.registry import Images
from regrow.corruptions.scales import choose_scale
from regrow.errors import DataError, InputError, UnknownNameError

SCHEMA = 2
MANIFEST = "manifest.json"
CLEAN = "clean"

#: Called with (images done, images in all, corruption).
Progress = Callable[[int, int, str], None]


class Row(NamedTuple):
    """One file (or cell of a tree) of a set: its digest, the published md5 where there is one, how they compare.

    The digest is the md5 of an ``.npy`` file; of a cell of a tree it is the SHA-256 of the lines ``sha256sum`` would
    print for its files, in the order of their paths.
    """

    name: str
    digest: str
    official: str | None
    status: str


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How images are corrupted; the arguments of ``corrupt_set``."""

    severities: tuple[int, ...]
    seed: int
    mode: str
    scale: str | None
    codec: str | None
    frost: str | None

    @classmethod
    def of(
        cls,
        severities: Sequence[int],
        seed: int,
        mode: str,
        scale: str | None,
        codec: str | None,
        frost: Path | str | None,
    ) -> Settings:
        """Settings that were checked, but for those that depend on the corruption (see ``notes``)."""
        levels = [check_severity(severity) for severity in severities]
        if not levels or levels != sorted(set(levels)):
            raise InputError(f"severities must be rising, each once, got {levels}.", "give e.g. 1,2,3,4,5.")
        codec = check_codec(codec)
        place = None if frost is None else str(Path(frost).absolute())
        return cls(severities=tuple(levels), seed=check_seed(seed), mode=mode, scale=scale, codec=codec, frost=place)

    def corrupt(self, images: Images, name: str, severity: int, first: int | Sequence[int]) -> Images:
        """Images of a set as they are under a corruption; ``first`` is the number of the first, or that of each."""
        index = range(first, first + len(images)) if isinstance(first, int) else first
        return corrupt_set(
            images,
            name,
            severity,
            seed=self.seed,
            index=index,
            scale=self.scale,
            mode=self.mode,
            codec=self.codec,
            frost=self.frost,
        )

    def notes(self, name: str, side: int) -> dict[str, str]:
        """What must be said of a corruption as it is made here: ``codec``, and all of ``provenance``.

        Raises:
            InputError: mode, scale, codec or frost photographs that cannot be used.
        """
        if name == CLEAN:
            return {}
        notes = provenance(name, side, scale=self.scale, mode=self.mode, codec=self.codec, frost=self.frost)
        default = registry.get(name).codec
        return notes if default is None else {"codec": default} | notes

    def identity(self, side: int) -> dict[str, Any]:
        """What of the settings makes a set another one."""
        return {
            "severities": list(self.severities),
            "seed": self.seed,
            "mode": self.mode,
            "scale": self.scale or choose_scale(side).name,
            "codec": self.codec or codecs()[0],
            "side": side,
        }


def codecs() -> list[str]:
    """JPEG encoders of jpeg_compression, the published one first."""
    jpeg = registry.get("jpeg_compression")
    return [jpeg.codec or "", *jpeg.codecs]


def check_codec(codec: str | None) -> str | None:
    """A JPEG encoder, or ``None`` for the published one.

    Raises:
        UnknownNameError: there is none of that name.
    """
    if codec is not None and codec not in codecs():
        raise UnknownNameError("codec", codec, codecs(), "leave codec out.")
    return codec


def choose_names(words: Sequence[str], side: int | None = None, scale: str | None = None) -> list[str]:
    """Corruptions from names and groups of names.

    Args:
        words: names; or ``all`` (the nineteen of ImageNet-C), ``common`` (fifteen of them), ``extra`` (the other
            four), ``c-bar`` or ``3dcc``.
        side: of the images; of ``c-bar`` only what was published for their size is taken, where that is settled.
        scale: column of settings, in place of the one that fits ``side``.

    Raises:
        InputError: no word.
        UnknownNameError: no such corruption.

    Example:
        >>> choose_names(["extra", "fog", "saturate"])
        ['gaussian_blur', 'saturate', 'spatter', 'speckle_noise', 'fog']
    """
    if not words:
        raise InputError("no corruption was named.", "name some, or all: `regrow list corruptions`.")
    chosen: dict[str, None] = {}
    for word in words:
        chosen |= dict.fromkeys(_group(word, side, scale))
    return list(chosen)


def _group(word: str, side: int | None, scale: str | None) -> list[str]:
    known, common, every = registry.names(None), registry.common_names(), registry.names()
    groups = {"all": every, "common": common, "extra": [name for name in every if name not in common]}
    benchmarks = [name for name in registry.benchmarks() if name != "c"]
    if word in benchmarks:
        column = scale or (choose_scale(side).name if side else "")
        members = registry.names(word)
        return [name for name in members if column in registry.get(name).settings] or members
    if word not in groups and word not in known:
        kinds = [*known, *groups, *benchmarks]
        raise UnknownNameError("corruption", word, kinds, "`regrow list corruptions`.")
    return groups.get(word, [word])


def versions(settings: Settings) -> dict[str, str]:
    """Versions of what computes."""
    more = {"torch": importlib.metadata.version("torch")} if settings.mode == "fast" else {}
    return base_versions() | more


def base_versions() -> dict[str, str]:
    """Versions of what every corruption is computed with."""
    found = {name: importlib.metadata.version(name) for name in ("numpy", "scipy", "pillow")}
    return {"regrow": regrow.__version__, "python": platform.python_version(), **found}


@dataclass
class Manifest:
    """The manifest of a set that is being written.

    Attributes:
        folder: the set.
        made_from: what it is made from, and how.
        wanted: the files it is to have, finished or not.
        entries: file (or cell) -> what is known of it, when it is whole.
        facts: other things to be told, e.g. caveats.
    """

    folder: Path
    made_from: dict[str, Any]
    wanted: list[str] = field(default_factory=list)
    entries: dict[str, dict[str, Any]] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def open(
        cls,
        folder: Path,
        made_from: dict[str, Any],
        force: bool,
        foreign: Iterable[Path],
        remove: Callable[[Manifest], None],
    ) -> Manifest:
        """The manifest that is there, if it is of this set, else a new one.

        Args:
            folder: the set.
            made_from: what it is to be made from.
            force: replace another set.
            foreign: what would be overwritten where there is no manifest.
            remove: removes the files of another set.

        Raises:
            InputError: the folder holds another set, or files of another program, and ``force`` is not given.
        """
        fresh = cls(folder, made_from)
        if not (folder / MANIFEST).exists():
            there = sorted(path.name for path in foreign)
            if there and not force:
                raise InputError(
                    f"{folder} holds {there[0]} and no {MANIFEST}: not a set made by regrow.",
                    "choose another --out, or overwrite it with --force.",
                )
            return fresh
        before = cls.read(folder)
        if before.made_from == made_from:
            return before
        if not force:
            old = before.made_from
            key = next((key for key in made_from if old.get(key) != made_from[key]), "source")
            raise InputError(
                f"{folder} holds another set: its {key} is {old.get(key)!r}, asked for is {made_from.get(key)!r}.",
                "choose another --out, or overwrite it with --force.",
            )
        remove(before)
        return fresh

    @classmethod
    def read(cls, folder: Path) -> Manifest:
        """The manifest of a folder.

        Raises:
            DataError: it is absent, damaged, or of another schema.
        """
        value = files.read_json(folder / MANIFEST)
        if _is_ours(value):
            return cls(folder, value["made_from"], value["wanted"], value["files"], value["facts"])
        raise DataError(
            f"{folder / MANIFEST} is no manifest of schema {SCHEMA} of a corrupted set.",
            "choose another --out, or move the folder away.",
        )

    def want(self, names: Iterable[str]) -> None:
        """Note what the set is to have, before any of it is made."""
        self.wanted = sorted({*self.wanted, *names})
        self.save()

    def save(self) -> None:
        """Write it."""
        value = {"schema": SCHEMA, "made_from": self.made_from, "wanted": self.wanted, "files": self.entries}
        files.write_json(self.folder / MANIFEST, value | {"facts": self.facts})

    def refuse_other_notes(self, name: str, notes: dict[str, str], force: bool) -> bool:
        """Whether an entry was made the way it would be made now, e.g. with the same frost photographs.

        Raises:
            InputError: it was not, and ``force`` is not given.
        """
        before = self.entries[name]["notes"]
        if before == notes:
            return True
        if force:
            return False
        key = next(key for key in sorted({*before, *notes}) if before.get(key) != notes.get(key))
        raise InputError(
            f"{name} in {self.folder} was made otherwise: its {key} is {before.get(key, 'as published')!r}, now it "
            f"would be {notes.get(key, 'as published')!r}.",
            "write it again with --force, or choose another --out.",
        )


def _is_ours(value: Any) -> bool:
    """Whether a file's values are those of a manifest, whose names stay in its folder."""
    try:
        made_from, entries, names = value["made_from"], value["files"], [*value["wanted"], *value["files"]]
        is_npy = made_from["layout"] == "npy"
        needed = {"source", "severities", *(["n_images"] if is_npy else [])}
        noted = {"sha256", "notes", *(["md5"] if is_npy else [])}
        whole = value["schema"] == SCHEMA and isinstance(value["facts"], dict) and needed <= set(made_from)
        whole = whole and isinstance(made_from["layout"], str) and isinstance(made_from["source"], str)
        whole = whole and all(noted <= set(entry) and isinstance(entry["notes"], dict) for entry in entries.values())
        paths = [Path(name) for name in names]
        return whole and not any(path.is_absolute() or not path.parts or ".." in path.parts for path in paths)
    except (TypeError, LookupError, AttributeError):
        return False


@contextlib.contextmanager
def told_when_full(folder: Path) -> Iterator[None]:
    """Turn the errors of a full disk and of a folder that cannot be written to into one line.

    Raises:
        DataError: in their place.
    """
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DataError(
                f"the disk of {folder} is full ({error.strerror}).",
                "make room and run the same command again: it goes on where it was.",
            ) from None
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST):
            raise DataError(
                f"{error.filename or folder} cannot be written ({error.strerror}).", "choose another --out."
            ) from None
        raise


def caveats(folder: Path) -> list[str]:
    """What must be said of a set that was written here; nothing of one that has no manifest of ours."""
    with contextlib.suppress(DataError):
        return [str(line) for line in Manifest.read(folder).facts.get("caveats", [])]
    return []
