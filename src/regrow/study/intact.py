"""Whether the files of a study can be read, asked before it trains for hours and meets one that cannot."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from regrow import clips, data
from regrow.data.fileset import ClipSource, FileSet
from regrow.data.listing import Chosen
from regrow.data.on_disk import LISTED, SPLITS
from regrow.data.scan import in_parts, scan
from regrow.study.recipe import Recipe

#: Files above which checking them all takes too long to be done unasked.
MOST = 20_000


def require_readable(
    recipe: Recipe, data_root: Path | None, progress: Callable[[int, int], None] = lambda done, n: None
) -> list[str]:
    """Decode every picture that a study reads, and see that every video can be opened and is long enough.

    Args:
        recipe: names the data set; with its option ``on_error: skip`` the set has left out such files already.
        data_root: where data sets lie.
        progress: called with (files so far, files in all) of each split.

    Returns:
        What a user should know: files that were left out, or that they were too many to be looked at.

    Raises:
        DataError: a file that cannot be read, or a video that is too short.
    """
    chosen, said = recipe.data, []
    for split in SPLITS:
        examples = data.load(chosen.name, split, root=data_root, options=chosen.options)
        if not isinstance(examples, FileSet):
            return []
        if examples.skipped:
            said += [f"Skipped ({split}): {path}: {reason}" for path, reason in examples.skipped[:LISTED]]
            if len(examples.skipped) > LISTED:
                said.append(f"Skipped ({split}): and {len(examples.skipped) - LISTED} more.")
        elif chosen.options.get("on_error") != "skip" and len(examples) > MOST:
            said.append(f"{len(examples)} files of {split} are too many to be checked: `regrow data show` does it.")
        elif chosen.options.get("on_error") != "skip":
            _check(examples, progress)
    return said


def _check(examples: FileSet, progress: Callable[[int, int], None]) -> None:
    source = examples.source
    if not isinstance(source, ClipSource):
        scan(Chosen(source.listing, examples.index), progress=progress)  # type: ignore[arg-type]
        return

    def look(part: range) -> None:
        for i in part:
            place = int(examples.index[i])
            source.used(place, clips.count(source.listing.place(place), source.listing.path(place)))

    for done, _ in in_parts(look, len(examples), size=8):
        progress(done, len(examples))
