"""A run as a folder to share: its network, what is known of it, and a card that tells how robust it is."""

from __future__ import annotations

from pathlib import Path

from regrow import files
from regrow.errors import InputError
from regrow.report.card import card
from regrow.study.hub import CARD, CONFIG, WEIGHTS, Saved, save_pretrained
from regrow.study.load import load_study
from regrow.study.store import Store
from regrow.study.view import StudyView
from regrow.training.checkpoint import load_weights


def share(run: Path, folder: Path, *, licence: str = "", force: bool = False) -> Saved:
    """Write ``model.safetensors``, ``config.json`` and the model card ``README.md`` of a run.

    Args:
        run: folder of a run, or its ``model.safetensors``.
        folder: where to; made if absent.
        licence: of the weights, an identifier as Hugging Face knows them; empty = the card names none.
        force: replace files of an earlier export.

    Raises:
        InputError: the folder holds such files, or ``run`` is no run of regrow.
        RegrowError: what was written gives other outputs than the run.
    """
    file = run / WEIGHTS if run.is_dir() else run
    if (folder / WEIGHTS).resolve() == file.resolve():
        raise InputError(f"{folder} is the folder of the run itself.", "choose another --hub.")
    there = [name for name in (WEIGHTS, CONFIG, CARD) if (folder / name).exists()]
    if there and not force:
        raise InputError(f"{folder} holds {', '.join(there)} already.", "choose another --hub, or add --force.")
    weights, view = load_weights(file), _study_of(file)
    saved = save_pretrained(weights, folder, file=file)
    name = folder.resolve().name if view is None else f"{view.name}-{view.runs[0].name}"
    made_on = {} if view is None else view.environment
    files.write_text(folder / CARD, card(saved, name, view, made_on, licence))
    return saved


def _study_of(file: Path) -> StudyView | None:
    """The study that a run's weights lie in, with that run alone; None where they lie in none."""
    run = file.resolve().parent
    if file.name != WEIGHTS or run.parent.name != "runs" or not Store(run.parent.parent).exists():
        return None
    view = load_study(run.parent.parent, only=run.name)
    return view if view.runs else None
