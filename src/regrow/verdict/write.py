"""The edge of this room: reads a study, judges it, writes ``verdict.json`` into its folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from regrow import files
from regrow.study.claims import ClaimSettings
from regrow.study.load import load_study
from regrow.verdict.judge import judge
from regrow.verdict.model import Verdict


def write_verdict(folder: Path, extra: Sequence[ClaimSettings] = ()) -> Verdict:
    """Judge a study, or its published summaries, and write ``verdict.json``.

    Args:
        folder: the study.
        extra: claims to judge beside the registered ones; exploratory.

    Raises:
        InputError: no study in the folder.
        DataError: a file of it is damaged.
    """
    verdict = judge(load_study(folder), extra)
    files.write_json(folder / "verdict.json", verdict.as_json())
    return verdict
