"""Sets of clips: ``corruption/severity/class/name``, and in each cell a list of its clips.

Corrupted frames are saved as JPEG pictures of quality 80 in AVI files, as many as Yi et al. keep in their HDF5 files;
coded and damaged clips are saved as the file or stream that they are. ``clips.txt`` has a line ``path n_frames class``
for each clip, as the lists of ViTTA: of a damaged stream fewer frames may be decoded.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

from regrow import clips as media
from regrow import files
from regrow.clips import Clip
from regrow.corruptions import jpeg, video
from regrow.corruptions.inputs import check_seed, check_severity
from regrow.corruptions.writer import blocks, pool
from regrow.corruptions.writer.blocks import Block
from regrow.corruptions.writer.folders import (
    Folders,
    Made,
    Tree,
    are_there,
    folders_of,
    part_of,
    remove_all,
    severities_of,
    write_file,
)
from regrow.corruptions.writer.manifest import (
    CLEAN,
    Manifest,
    Progress,
    base_versions,
    check_codec,
    codecs,
    told_when_full,
)
from regrow.corruptions.writer.pictures import inside
from regrow.errors import DataError, InputError, UnknownNameError

LIST = "clips.txt"

#: Bytes of a corrupted clip, at the least.
_BYTES_PER_CLIP = 50_000


class Clips(Protocol):
    """Clips that are read one by one; with several processes it is pickled."""

    @property
    def name(self) -> str:
        """What they are."""
        ...

    @property
    def side(self) -> int:
        """Height and width in pixels of prepared frames."""
        ...

    def __len__(self) -> int:
        """How many."""
        ...

    def path(self, i: int, /) -> str:
        """Relative path with forward slashes, e.g. ``"Archery/v_Archery_g01_c01.avi"``."""
        ...

    def label(self, i: int, /) -> int:
        """Class number."""
        ...

    def read(self, i: int, /) -> Clip:
        """The clip as it is; DataError when it cannot be read."""
        ...

    def prepared(self, clip: Clip, /) -> Clip:
        """Its frames, (T, side, side, 3)."""
        ...


@dataclass(frozen=True, kw_only=True)
class ClipSettings:
    """How clips are corrupted; see ``regrow.corruptions.video.corrupt_clip``."""

    severities: tuple[int, ...]
    column: str = "kinetics"
    seed: int = 0
    per_frame: bool | None = None
    codec: str | None = None
    frost: str | None = None

    def by_file(self, name: str) -> bool:
        """Whether a corruption works on the clip's file, else on its prepared frames."""
        return name != CLEAN and video.get(name, self.column).level == "file"

    def corrupt(self, given: Clip, name: str, severity: int, index: int) -> Clip:
        """A clip (see ``by_file``) under a corruption."""
        return video.corrupt_clip(
            given,
            name,
            severity,
            column=self.column,
            seed=self.seed,
            index=index,
            per_frame=self.per_frame,
            codec=self.codec,
            frost=self.frost,
        )

    def notes(self, name: str, side: int) -> dict[str, str]:
        """What must be said of a corruption as it is made here."""
        if name == CLEAN:
            return {}
        image = video.get(name, self.column).image
        coded = {} if image is None or image.codec is None else {"codec": image.codec}
        return coded | video.provenance(name, side, column=self.column, codec=self.codec, frost=self.frost)


def choose_clip_names(words: Sequence[str], column: str = "kinetics") -> list[str]:
    """Corruptions of clips from names; ``all``: those of the column.

    Raises:
        InputError: no word.
        UnknownNameError: no such corruption or column.
    """
    if not words:
        raise InputError("no corruption was named.", f"name some, or all: {', '.join(video.names(column))}.")
    chosen: dict[str, None] = {}
    for word in words:
        chosen |= dict.fromkeys(video.names(column) if word == "all" else [video.get(word, column).name])
    return list(chosen)


def severities_in(column: str, severities: Sequence[int] | None) -> tuple[int, ...]:
    """Severities that were asked for, or all that a column has.

    Raises:
        InputError: it has not one of them, or they do not rise.
    """
    known = sorted(video.get(video.names(column)[0], column).settings[column])
    if severities is None:
        return tuple(known)
    levels = [check_severity(severity) for severity in severities]
    if not levels or levels != sorted(set(levels)):
        raise InputError(f"severities must be rising, each once, got {levels}.", "give e.g. 1,2,3,4,5.")
    if not set(levels) <= set(known):
        raise InputError(
            f"{column} has severity {', '.join(map(str, known))} only, asked for is {levels}.",
            "leave --severities out.",
        )
    return tuple(levels)


def write_clips(
    clips: Clips,
    out: Path,
    corruptions: Sequence[str] = ("all",),
    severities: Sequence[int] | None = None,
    *,
    column: str = "kinetics",
    clean: bool = False,
    on_bad: str = "stop",
    seed: int = 0,
    per_frame: bool | None = None,
    codec: str | None = None,
    frost: Path | str | None = None,
    jobs: int | None = None,
    notes: Sequence[str] = (),
    force: bool = False,
    progress: Progress | None = None,
) -> Tree:
    """Write corrupted copies of clips; what is whole already is left as it is.

    Args:
        clips: the clean ones.
        out: folder to write to; made when absent.
        corruptions: names, or ``all`` of the column.
        severities: rising numbers; by default all of the column.
        column: whose settings: ``"kinetics"``, ``"ssv2"``, ``"vitta"`` or ``"imagenet"``.
        clean: also write the prepared clean frames, to ``clean/0``.
        on_bad: ``"stop"`` at a clip that cannot be read, or ``"skip"`` it in every cell and count it.
        seed: of the random numbers.
        per_frame: new noise for each frame, or the same for a whole clip; by default as published.
        codec: JPEG encoder of the jpeg corruption.
        frost: folder of the frost photographs.
        jobs: processes; by default one a core.
        notes: caveats for the manifest.
        force: replace another set.
        progress: called with (clips done, clips in all, corruption).

    Raises:
        InputError: names, severities or clips that cannot be used, or a folder of another set; PyAV is missing.
        DataError: a clip that cannot be read, or the disk is full.
        BusyError: another process is writing to the folder.
    """
    if on_bad not in ("stop", "skip"):
        raise UnknownNameError("on_bad", on_bad, ("stop", "skip"), "give one of these.")
    jobs = blocks.check_jobs(jobs)
    names = choose_clip_names(corruptions, column)
    settings = ClipSettings(
        severities=severities_in(column, severities),
        column=column,
        seed=check_seed(seed),
        per_frame=per_frame,
        codec=check_codec(codec),
        frost=None if frost is None else str(Path(frost).absolute()),
    )
    made_by = base_versions() | media.versions() | {"encoder": jpeg.encoder("pillow")}
    paths = _paths(clips)
    said = {name: settings.notes(name, clips.side) for name in ([CLEAN] if clean else []) + names}
    made_from = {
        "layout": "clips",
        "source": clips.name,
        "severities": list(settings.severities),
        "seed": settings.seed,
        "column": column,
        "per_frame": per_frame,
        "codec": settings.codec or codecs()[0],
        "side": clips.side,
        "n_clips": len(paths),
        "paths_sha256": hashlib.sha256("\n".join(paths).encode("utf-8", "surrogateescape")).hexdigest(),
        "on_bad": on_bad,
    }
    with told_when_full(Path(out)), files.owned(Path(out), "set"):
        manifest = Manifest.open(Path(out), made_from, force, folders_of(Path(out)), remove_all)
        if notes:
            manifest.facts["caveats"] = list(notes)
        folders = Folders(Path(out), manifest, settings.severities, said, made_by, len(paths), 1, clips.name)
        folders.write(
            _Work(Path(out), clips, paths, settings, on_bad == "skip"),
            force=force,
            jobs=lambda n: jobs or (1 if n < _FEW else pool.usable_cpus()),
            bytes_each=_BYTES_PER_CLIP,
            progress=progress,
            closing=_write_list,
        )
        return Tree(folders.rows(), manifest.facts.get("skipped", {}))


#: Corrupted clips below which starting processes takes longer than it saves.
_FEW = 8


@dataclass(frozen=True)
class _Work:
    """Writes one clip at all severities; tells its number of frames and its class beside the digests."""

    folder: Path
    clips: Clips
    paths: list[str]
    settings: ClipSettings
    skip: bool

    def __call__(self, block: Block) -> Sequence[Any]:
        severities = severities_of(block.name, self.settings.severities)
        part, i = part_of(self.folder, block.name), block.start
        if block.expected is not None and are_there(part, severities, Made.of(block.expected)):
            return list(block.expected)
        nothing = Made({}, {}, [0] * len(severities), [], [])
        try:
            clip = self.clips.read(i)
        except DataError as error:
            if not self.skip:
                raise
            return list(nothing._replace(skipped={self.paths[i]: error.message}))
        origin = hashlib.sha256(clip.content if clip.content is not None else clip.frames.tobytes()).hexdigest()
        try:
            return list(self._write(block.name, severities, clip, i)._replace(originals=[origin]))
        except InputError as error:  # e.g. too short for a blur over time
            if not self.skip:
                raise DataError(f"{self.paths[i]}, {block.name}: {error.message}", error.next_step) from None
            skipped = {f"{block.name}: {self.paths[i]}": error.message}
            return list(nothing._replace(skipped=skipped, originals=[origin]))

    def _write(self, name: str, severities: Sequence[int], clip: Clip, i: int) -> Made:
        digests, lengths, lines, path = [], [], [], ""
        part = part_of(self.folder, name)
        given = clip if self.settings.by_file(name) else self.clips.prepared(clip)
        for severity in severities:
            done = given if name == CLEAN else self.settings.corrupt(given, name, severity, i)
            content = done.content if done.content is not None else media.as_mjpeg(done.frames, done.rate)
            path = PurePosixPath(self.paths[i]).with_suffix(done.suffix or ".avi").as_posix()
            digests.append(write_file(part / str(severity) / path, content))
            lengths.append(len(content))
            lines.append(f"{path} {len(done)} {self.clips.label(i)}")
        return Made({path: digests}, {}, lengths, [], lines)


def _write_list(folder: Path, at: int, results: Sequence[Made]) -> Mapping[str, str]:
    lines = [made.more[at] for made in results if made.more]
    return {LIST: write_file(folder / LIST, "".join(f"{line}\n" for line in lines).encode("utf-8", "surrogateescape"))}


def _paths(clips: Clips) -> list[str]:
    if len(clips) == 0:
        raise InputError(f"{clips.name} holds no clips.", "give a folder with at least one.")
    paths: list[str] = []
    seen: dict[str, PurePosixPath] = {}
    for i in range(len(clips)):
        path = inside(clips.path(i))
        stem = str(path.with_suffix(""))
        if stem in seen:
            raise InputError(f"{seen[stem]} and {path} differ in their type alone.", "rename one of them.")
        seen[stem] = path
        paths.append(str(path))
    return paths
