"""The edge of this room: reads a study's store, writes its page and its published results."""

from __future__ import annotations

import shutil
from pathlib import Path

from regrow import corruptions, files
from regrow.data import marker
from regrow.errors import InputError
from regrow.report.check import CheckView, render_check
from regrow.report.compare import render_comparison
from regrow.report.finding import finding
from regrow.report.page import render
from regrow.report.tables import tables
from regrow.study.check import CheckResult, as_json
from regrow.study.environment import describe_environment
from regrow.study.kinds import cell_notes
from regrow.study.load import load_study
from regrow.study.store import Store
from regrow.study.summaries import write_summaries
from regrow.study.view import CLEAN, CellScore, StudyView
from regrow.verdict import Verdict, judge


def write_report(folder: Path, verdict: Verdict | None = None) -> Path:
    """Make ``report.html`` of a study anew.

    Args:
        folder: the study.
        verdict: what its head says; without it the registered claims are judged, where there are any.

    Returns:
        The page.
    """
    page = Store(folder).report
    view = load_study(folder)
    files.write_text(page, render(view, verdict or _judged(view)))
    return page


def _judged(view: StudyView) -> Verdict | None:
    return judge(view) if (view.registration or {}).get("claims") else None


def write_charts(folder: Path, out: Path) -> list[Path]:
    """Write every chart of a study's page into ``out``, those of its claims included; returns the files."""
    from regrow.report.export import export_charts

    view = load_study(folder)
    return export_charts(view, out, _judged(view))


def write_comparison(a: Path, b: Path, page: Path) -> None:
    """Write the page of two studies side by side; each is a study's folder or its published summaries.

    Raises:
        InputError: no study in one of the folders.
    """
    files.write_text(page, render_comparison(load_study(a), load_study(b)))


def finding_text(folder: Path) -> str:
    """The page's finding, for the terminal: tier, labels and the one paragraph."""
    found = finding(load_study(folder))
    labels = f" [{', '.join(found.labels)}]" if found.labels else ""
    return f"{found.tier}{labels}\n{found.lead}"


def write_check(result: CheckResult, folder: Path) -> Path:
    """Write the page of a check and its numbers, ``check.json``.

    Returns:
        The page.
    """
    names = list(dict.fromkeys(name for name, severity in result.accuracy if severity))
    records = {name: corruptions.get(name) for name in names}
    notes = cell_notes(names, result.checked.spec.image_size, result.mode, stored=result.stored)
    notes += marker.notes(result.checked.spec, result.folder)
    notes += [*result.notes, *(f"skipped {line}" for line in result.skipped)]
    view = CheckView(
        model=result.checked.name,
        source=result.checked.source,
        n_parameters=sum(p.numel() for p in result.checked.model.parameters()),
        folder=str(result.folder),
        n_images=result.n_images,
        n_classes=len(result.checked.spec.classes),
        image_size=result.checked.spec.image_size,
        scale=result.scale,
        scale_note=result.scale_note,
        clean=CellScore(result.accuracy[CLEAN], result.n_images),
        scores={c: CellScore(a, result.n_images) for c, a in result.accuracy.items() if c != CLEAN},
        families={name: record.family for name, record in records.items()},
        common=[name for name, record in records.items() if not record.extra],
        examples=result.examples,
        notes=notes,
        environment=describe_environment(),
    )
    files.write_json(folder / "check.json", as_json(result))
    files.write_text(folder / "report.html", render_check(view))
    return folder / "report.html"


def publish_results(folder: Path, out: Path, *, force: bool = False) -> None:
    """Write what others need to check a study's numbers, without checkpoints and images.

    The summaries of :mod:`regrow.study.summaries`, ``environment.json``, ``verdict.json``, ``report.html``, and
    ``tables/NAME.csv``, ``.md`` and ``.tex``.

    Args:
        folder: the study.
        out: where to; must be empty or absent unless ``force``.
        force: write over what is there.

    Raises:
        InputError: ``out`` is not empty.
    """
    if out.exists() and any(out.iterdir()) and not force:
        raise InputError(f"{out} is not empty.", "choose another folder, or add --force.")
    if out.exists() and any(out.iterdir()) and not (out / "study.yaml").exists():
        raise InputError(f"{out} holds something else than published results.", "choose another folder.")
    for part in ("runs", "tables"):  # of an earlier publication: never mix two studies
        shutil.rmtree(out / part, ignore_errors=True)
    view = load_study(folder)
    store = Store(folder)
    write_summaries(view, store.load(), out, store)
    files.write_json(out / "environment.json", dict(view.environment))
    verdict = _judged(view)
    files.write_text(out / "report.html", render(view, verdict))
    if verdict is not None:
        files.write_json(out / "verdict.json", verdict.as_json())
    for name, table in tables(view).items():
        files.write_text(out / "tables" / f"{name}.csv", table.to_csv())
        files.write_text(out / "tables" / f"{name}.md", table.to_markdown())
        files.write_text(out / "tables" / f"{name}.tex", table.to_latex() + "\n")
