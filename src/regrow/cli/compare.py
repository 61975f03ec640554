"""``regrow compare``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from regrow.cli.console import out
from regrow.cli.network import Network


def compare(
    a: Annotated[Path, typer.Argument(help="Folder of a study, or of its published summaries: what is taken off.")],
    b: Annotated[Path, typer.Argument(help="Likewise: the one that it is taken off from.")],
    page: Annotated[Path, typer.Option("--out", help="The page.")] = Path("compare.html"),
    network: Network = None,
) -> None:
    """Put two studies on one page: what differs in how they were made, and what came out."""
    from regrow.models.user import named
    from regrow.report.write import write_comparison

    with named(*network or ()):
        write_comparison(a, b, page)
    out.print(f"Comparison: {page}", markup=False)
