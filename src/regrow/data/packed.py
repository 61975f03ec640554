"""Pictures decoded and made smaller once, in a few large files, so that each epoch reads fast and decodes little.

    packed = pack(pictures, Path("imagenet-256"), side=256)     # made once, then found
    packed = load(Path("imagenet-256"), pictures)               # refused when the pictures have changed

A folder holds ``pictures-00000.bin`` and so on (contents one after another), ``index.npy`` (where each is, its size and
checksum), ``names.npy``, and ``pack.json``, which is written last: without it there is no pack. All of it is mapped
into memory, so that the processes of a machine share what they read.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import mmap
import re
import zlib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from regrow import files
from regrow.data import pictures as reading
from regrow.data.listing import Names, Source
from regrow.data.scan import in_parts
from regrow.data.spec import Progress
from regrow.errors import DataError, InputError

if TYPE_CHECKING:
    from PIL import Image

FACTS, INDEX, NAMES = "pack.json", "index.npy", "names.npy"
_VERSION = 1
_OURS = re.compile(r"pictures-\d{5}\.bin|index\.npy|names\.npy")
_ROW = np.dtype(
    [
        ("file", "<u4"),
        ("start", "<u8"),
        ("size", "<u8"),
        ("crc", "<u4"),
        ("width", "<u4"),
        ("height", "<u4"),
        ("label", "<u4"),
        ("name_end", "<i8"),
    ]
)


@dataclass(frozen=True)
class Form:
    """How pictures are kept.

    Attributes:
        side: largest shorter side in pixels. Larger pictures are decoded whole and resized to it (bilinear), as
            the published preparation of test images does for 256; smaller ones stay as they are.
        kind: ``jpeg`` (small, some loss) or ``raw`` (uint8; several times larger, no loss and no decoding).
        quality: of JPEGs, 1 to 100.

    Raises:
        InputError: one of them cannot be.
    """

    side: int = 256
    kind: Literal["jpeg", "raw"] = "jpeg"
    quality: int = 95

    def __post_init__(self) -> None:
        if self.side < 1:
            raise InputError(f"the side of packed pictures must be at least 1 pixel, got {self.side}.")
        if self.kind not in ("jpeg", "raw"):
            raise InputError(f"pictures are packed as jpeg or raw, got {self.kind!r}.")
        if not 1 <= self.quality <= 100:
            raise InputError(f"the quality of JPEGs must be from 1 to 100, got {self.quality}.")


class Packed:
    """Pictures of a pack. It is pickled as its folder; files are mapped when first used.

    Args:
        folder: the pack.
        facts: what ``pack.json`` says.
        index: where each picture is.
        names: ``CLASS/FILE`` of each.
    """

    def __init__(self, folder: Path, facts: dict[str, Any], index: npt.NDArray[Any], names: Names) -> None:
        self.folder, self.name = folder, str(facts["name"])
        self.form = Form(**facts["form"])
        self.classes = tuple(facts["classes"])
        self.labels: tuple[int, ...] = tuple(index["label"].tolist())
        self._facts, self._index, self._names = facts, index, names
        self._maps: dict[int, mmap.mmap] = {}

    def __reduce__(self) -> tuple[Callable[[Path], Packed], tuple[Path]]:
        return load, (self.folder,)

    def __len__(self) -> int:
        """How many."""
        return len(self._index)

    def path(self, i: int, /) -> str:
        """Its name in the source."""
        return self._names[i]

    def label(self, i: int, /) -> int:
        """Class number."""
        return self.labels[i]

    def open(self, i: int, /, at_least: int = 0) -> Image.Image:
        """A picture as RGB, see :meth:`regrow.data.listing.Pictures.open`; full size is the packed one.

        Raises:
            DataError: the pack is damaged.
        """
        from PIL import Image

        row = self._index[i]
        start, size = int(row["start"]), int(row["size"])
        content = self._map(int(row["file"]))[start : start + size]
        if len(content) != size or zlib.crc32(content) != row["crc"]:
            raise DataError(f"{self.path(i)} is damaged in {self.folder}.", _again(self.folder))
        if self.form.kind == "jpeg":
            return reading.open_picture(io.BytesIO(content), at_least, self.path(i))
        width, height = int(row["width"]), int(row["height"])
        if width * height * 3 != size:
            raise DataError(f"{self.path(i)} is damaged in {self.folder}.", _again(self.folder))
        return Image.frombytes("RGB", (width, height), content)

    def fingerprint(self) -> str:
        """Digest of the source's and of how it was packed."""
        return files.value_digest([self._facts["source"], self._facts["form"], self._facts["files"]])

    def _map(self, number: int) -> mmap.mmap:
        if number not in self._maps:
            path = self.folder / _file(number)
            try:
                with path.open("rb") as file:
                    self._maps[number] = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            except (OSError, ValueError) as error:  # the latter: it is empty
                raise DataError(f"{path} cannot be read ({error}).", _again(self.folder)) from None
        return self._maps[number]


def pack(
    pictures: Source,
    folder: Path,
    form: Form | None = None,
    *,
    file_bytes: int = 2**30,
    threads: int | None = None,
    progress: Progress | None = None,
    wait_s: float = 86_400,
) -> Packed:
    """Pack pictures into a folder, or open the pack of these very pictures that is there.

    Processes that ask for the same folder at once wait for the one that makes it. A killed one leaves no pack.

    Args:
        pictures: what to pack; leave those that cannot be read out first, see :func:`regrow.data.scan.scan`.
        folder: where to; made when absent.
        form: how they are kept.
        file_bytes: size after which another file is begun.
        threads: how many decode; by default one for each processor.
        progress: called with (pictures so far, pictures in all).
        wait_s: seconds to wait for another process that is packing into the folder.

    Raises:
        DataError: a picture cannot be read, the disk is full, the pictures change meanwhile, or the folder has a pack
            of other pictures or of another form.
        BusyError: another process was not done in time.
    """
    form = form or Form()
    if not len(pictures):
        raise DataError(f"there are no pictures in {pictures.name} to pack.", "give others.")
    source = pictures.fingerprint()
    if not (folder / FACTS).exists():
        try:
            with files.owned(folder, "pack", wait_s=wait_s):
                if not (folder / FACTS).exists():
                    _make(pictures, folder, form, source, file_bytes, threads=threads, progress=progress)
        except OSError as error:
            raise DataError(
                f"{folder} cannot be written ({error.strerror}).", "free space or choose another."
            ) from None
    packed = load(folder)
    _compare(packed, source, pictures.name)
    if packed.form != form:
        raise DataError(f"{folder} holds a pack of {packed.form}, asked for is {form}.", "choose another folder.")
    return packed


def load(folder: Path, source: Source | None = None) -> Packed:
    """Open a pack.

    Args:
        folder: where it is.
        source: the pictures of which it must be.

    Raises:
        DataError: no pack, an unfinished or damaged one, or one of other pictures or of ones that have changed.
    """
    if not (folder / FACTS).is_file():
        raise DataError(f"{folder} holds no pack of pictures (no {FACTS}).", "make one, or give another folder.")
    facts = files.read_json(folder / FACTS)
    if not isinstance(facts, dict) or facts.get("version") != _VERSION:
        raise DataError(f"{folder / FACTS} is not of this version of regrow.", _again(folder))
    try:
        for name, said in facts["files"].items():
            path = files.inside(folder, name)
            if not path.is_file() or path.stat().st_size != said["size"]:
                raise DataError(f"{path} is missing or cut short.", _again(folder))
            if name in (INDEX, NAMES) and files.file_digest(path) != said["sha256"]:
                raise DataError(f"{path} is damaged.", _again(folder))
        index = files.read_array(folder / INDEX, mapped=True)
        text = files.read_array(folder / NAMES, mapped=True)
        _require_lists(index, text, len(facts["classes"]))
        names = Names(text, index["name_end"])
        packed, _ = Packed(folder, facts, index, names), facts["source"]
    except DataError as error:
        raise DataError(error.message, _again(folder)) from None
    except (LookupError, TypeError, AttributeError, ValueError):
        raise DataError(f"{folder / FACTS} is damaged.", _again(folder)) from None
    if source is not None:
        _compare(packed, source.fingerprint(), source.name)
    return packed


def _require_lists(index: npt.NDArray[Any], text: npt.NDArray[Any], n_classes: int) -> None:
    """Refuse lists of another kind, names that overlap or lie outside, and classes that there are not."""
    if (index.dtype, index.ndim, text.dtype, text.ndim) != (_ROW, 1, np.dtype(np.uint8), 1):
        raise ValueError("lists of another kind")
    ends, labels = index["name_end"], index["label"]
    if not len(index) or ends[0] < 0 or (np.diff(ends) < 0).any() or ends[-1] > len(text):
        raise ValueError("names outside their list")
    if labels.min() < 0 or labels.max() >= n_classes:
        raise ValueError("labels without a class")


def verify(folder: Path) -> dict[str, bool]:
    """Compare every file of a pack with its digest: name -> whether it is whole; reads all of them."""
    facts = load(folder)._facts
    return {name: files.file_digest(folder / name) == said["sha256"] for name, said in facts["files"].items()}


def _compare(packed: Packed, fingerprint: str, name: str) -> None:
    if packed._facts["source"] != fingerprint:
        raise DataError(
            f"{packed.folder} was packed from other pictures than {name}, or these have changed since.",
            "remove the folder and pack again, or choose another folder.",
        )


def _again(folder: Path) -> str:
    return f"remove {folder} and pack again."


def _file(number: int) -> str:
    return f"pictures-{number:05d}.bin"


def _make(
    pictures: Source,
    folder: Path,
    form: Form,
    source: str,
    file_bytes: int,
    *,
    threads: int | None,
    progress: Progress | None,
) -> None:
    files.sweep(folder)  # what a killed process left
    for path in folder.iterdir():
        if _OURS.fullmatch(path.name):
            path.unlink()
    index = np.zeros(len(pictures), _ROW)
    index["label"] = pictures.labels
    names = Names.of(pictures.path(i) for i in range(len(pictures)))
    index["name_end"] = names.ends

    def encode(part: range) -> list[tuple[bytes, tuple[int, int]]]:
        return [_encode(pictures.open(i), form) for i in part]

    i = 0
    with _Files(folder, file_bytes) as out:
        for done, contents in in_parts(encode, len(pictures), threads=threads, size=16):
            for content, (width, height) in contents:
                number, start = out.append(content)
                row = (number, start, len(content), zlib.crc32(content), width, height)
                for key, value in zip(("file", "start", "size", "crc", "width", "height"), row, strict=True):
                    index[key][i] = value
                i += 1
            if progress is not None:
                progress(done, len(pictures))
    for name, array in ((INDEX, index), (NAMES, names.text)):
        with files.atomic_path(folder / name) as temporary, temporary.open("wb") as file:
            np.save(file, array, allow_pickle=False)
        out.facts[name] = {"size": (folder / name).stat().st_size, "sha256": files.file_digest(folder / name)}
    if pictures.fingerprint() != source:
        raise DataError(f"{pictures.name} changed while it was packed.", "pack again when nothing writes to it.")
    facts = {
        "version": _VERSION,
        "name": pictures.name,
        "classes": list(pictures.classes),
        "form": asdict(form),
        "source": source,
        "files": out.facts,
    }
    files.write_json(folder / FACTS, facts)


def _encode(picture: Image.Image, form: Form) -> tuple[bytes, tuple[int, int]]:
    """Content of a picture in a form, and its width and height."""
    if min(picture.size) > form.side:
        picture = reading.resize(picture, form.side)
    if form.kind == "raw":
        return picture.tobytes(), picture.size
    content = io.BytesIO()
    picture.save(content, "JPEG", quality=form.quality, subsampling="4:2:0")
    return content.getvalue(), picture.size


class _Files:
    """Writes contents one after another into files of about a size; each appears when it is whole."""

    def __init__(self, folder: Path, file_bytes: int) -> None:
        self.folder, self.file_bytes = folder, file_bytes
        self.facts: dict[str, dict[str, int | str]] = {}
        self._open: contextlib.ExitStack | None = None
        self._file: IO[bytes]
        self._size, self._digest = 0, hashlib.sha256()

    def __enter__(self) -> _Files:
        return self

    def __exit__(self, *error: Any) -> None:
        if self._open is not None:
            self._open.__exit__(*error)
            self._open = None
            if error[0] is None:
                self._note()

    def append(self, content: bytes) -> tuple[int, int]:
        """Number of the file and place in it."""
        if self._open is not None and self._size >= self.file_bytes:
            self.__exit__(None, None, None)
        if self._open is None:
            self._open = contextlib.ExitStack()
            temporary = self._open.enter_context(files.atomic_path(self.folder / _file(len(self.facts))))
            self._file = self._open.enter_context(temporary.open("wb"))
            self._size, self._digest = 0, hashlib.sha256()
        start = self._size
        self._file.write(content)
        self._digest.update(content)
        self._size += len(content)
        return len(self.facts), start

    def _note(self) -> None:
        self.facts[_file(len(self.facts))] = {"size": self._size, "sha256": self._digest.hexdigest()}
