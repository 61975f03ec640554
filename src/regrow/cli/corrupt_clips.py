"""``regrow corrupt`` of a folder of clips."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from regrow.cli.network import check_on_error
from regrow.errors import InputError

if TYPE_CHECKING:
    from regrow.corruptions.writer import Row
    from regrow.data.clips import ClipFolder


def holds_clips(path: Path) -> bool:
    """Whether a folder is UCF101, or holds clips; refused where it holds pictures too."""
    from regrow.data import clips, pictures

    if not path.is_dir():
        return False
    if clips.is_ucf101(path):
        return True
    clip, picture = next(clips.files_below(path), None), next(iter(pictures.files_below(path)), None)
    if clip is not None and picture is not None:
        raise InputError(
            f"{path} holds clips, e.g. {clip.name}, and pictures, e.g. {picture.name}.", "give a folder of one kind."
        )
    return clip is not None


def open_clips(path: Path, split: str | None, side: int | None) -> ClipFolder:
    """The clips of a folder."""
    from regrow.data import clips

    side = side or 224
    if clips.is_ucf101(path):
        return clips.ucf101(path, split or "all", side)
    if split is not None:
        raise InputError(f"--split {split}: {path} has no lists of splits.", "leave --split out.")
    return clips.folder(path, side)


@dataclass(frozen=True)
class Wanted:
    """What was asked for."""

    words: Sequence[str]
    severities: Sequence[int] | None
    how: dict[str, Any]  # column, seed, codec and frost of the writer
    jobs: int | None
    on_error: str
    clean: bool
    force: bool

    def check(self, mode: str, layout: str) -> None:
        """Refuse early what would be refused after work was done."""
        from regrow import clips
        from regrow.corruptions.writer import choose_clip_names, severities_in

        if mode != "exact":
            raise InputError(f"--mode {mode} is for pictures: clips have one mode, exact.", "leave --mode out.")
        if layout not in ("", "clips"):
            raise InputError(f"--format {layout} is for pictures: clips are written as clips.", "leave --format out.")
        clips.library()
        check_on_error(self.on_error)
        choose_clip_names(self.words, self.how["column"])
        severities_in(self.how["column"], self.severities)


def preview(found: ClipFolder, path: Path, wanted: Wanted) -> None:
    """Write the middle frame of the first clip under all of it."""
    from PIL import Image

    from regrow import files
    from regrow.corruptions import writer

    content = io.BytesIO()
    picture = writer.preview_clip(found, wanted.words, wanted.severities, **wanted.how)
    Image.fromarray(picture).save(content, "PNG")
    files.write_bytes(path, content.getvalue())


def write(
    found: ClipFolder, out_dir: Path, wanted: Wanted, progress: Callable[[int, int, str], None]
) -> tuple[Sequence[Row], dict[str, str]]:
    """Write the set; its rows, and what was skipped."""
    from regrow.corruptions import writer
    from regrow.data import marker

    notes = [*marker.caveats([found.root])]
    notes += [f"{len(found.missing)} clips of the list are not there, e.g. {found.missing[0]}"] if found.missing else []
    tree = writer.write_clips(
        found,
        out_dir,
        wanted.words,
        wanted.severities,
        clean=wanted.clean,
        on_bad="stop" if wanted.on_error == "raise" else wanted.on_error,
        jobs=wanted.jobs,
        notes=notes,
        force=wanted.force,
        progress=progress,
        **wanted.how,
    )
    return tree.rows, tree.skipped
