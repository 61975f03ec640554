"""The edge of this room: reads a study, judges it, writes ``verdict.json`` into its folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from regrow import files
from regrow.study.claims import ClaimSettings, require_different, require_known
from regrow.study.load import load_study
from regrow.verdict.judge import judge
from regrow.verdict.model import Verdict
from regrow.verdict.registered import registered_claims


def write_verdict(folder: Path, extra: Sequence[ClaimSettings] = ()) -> Verdict:
    """Judge a study, or its published summaries, and write ``verdict.json``.

    Args:
        folder: the study.
        extra: claims to judge beside the registered ones; exploratory.

    Raises:
        InputError: no study in the folder; an extra claim that names what the study does not have, or has the id of a
            registered one.
        DataError: a file of the study as a whole is damaged.
    """
    view = load_study(folder)
    registered, _ = registered_claims(view)
    require_different([*registered.claims, *extra], f"the claims of {view.name} and the further ones")
    require_known(extra, registered.arms, view.corruptions)
    verdict = judge(view, extra)
    files.write_json(folder / "verdict.json", verdict.as_json())
    return verdict
