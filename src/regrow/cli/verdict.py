"""``regrow verdict``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from regrow.cli.console import out, print_json
from regrow.cli.network import Network

if TYPE_CHECKING:
    from regrow.verdict import Verdict


def verdict(
    folder: Annotated[Path, typer.Argument(help="Folder of a study, or of its published summaries.")],
    claims: Annotated[
        list[Path] | None,
        typer.Option("--claims", help="YAML file of further claims; they are judged as exploratory."),
    ] = None,
    network: Network = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the whole verdict as JSON.")] = False,
) -> None:
    """Judge every registered claim: supported, refuted, equivalent, inconclusive or not testable, with numbers."""
    from regrow.models.user import named
    from regrow.study.claims import load_claims
    from regrow.verdict.write import write_verdict

    extra = [claim for path in claims or () for claim in load_claims(path)]
    with named(*network or ()):
        found = write_verdict(folder, extra)
    if as_json:
        print_json(found.as_json())
        return
    out.print("\n".join(lines(found)), markup=False, highlight=False)
    out.print(f"\nVerdict: {folder / 'verdict.json'}", markup=False, highlight=False)


def lines(found: Verdict) -> list[str]:
    """The verdict as lines of text: problems first, then one block a claim."""
    text = [f"{found.title}", found.tier_words[0].upper() + found.tier_words[1:] + "."]
    text += [f"Registered {found.registered_at}, digest {found.registration[:12]}."] if found.registration else []
    text += [f"! {problem}" for problem in found.problems]
    for claim in found.claims:
        words = "".join(f" ({quality})" for quality in claim.qualities)
        text += ["", f"{claim.id}  {claim.title}: {claim.value}{words}; {claim.headline}"]
        if claim.why_not:
            text.append(f"    {claim.why_not}.")
        else:
            for arm in claim.arms:
                details = ", ".join(filter(None, [arm.size, arm.cause]))
                text.append(f"    {arm.value}{f', {details}' if details else ''}: {arm.sentence}")
            text += [f"    {item.name}: {item.text}" for item in claim.evidence]
        text += [f"    To settle it: {claim.settle}"] if claim.settle and not claim.why_not else []
    text += ["", f"Controls run: {', '.join(found.controls_run) or 'none'}."]
    text += [f"Not run: {', '.join(found.controls_not_run)}."] if found.controls_not_run else []
    return text
