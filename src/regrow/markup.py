"""Tables as HTML and Markdown, as notebooks and pages show them: escaped, and nothing that asks the network.

Every object that a notebook's user meets shows itself by ``_repr_html_``, made here from plain texts.
"""

from __future__ import annotations

import html
from collections.abc import Sequence

#: Rows that a notebook shows of a longer table.
MAX_ROWS = 20


def html_table(
    title: str, headings: Sequence[str], rows: Sequence[Sequence[object]], numbers: Sequence[bool] = (), note: str = ""
) -> str:
    """A table of texts for a notebook: at most ``MAX_ROWS`` rows, everything escaped.

    Args:
        title: its caption; may be empty.
        headings: of the columns.
        rows: what str() shows, as many a row as there are headings.
        numbers: whether each column is set flush right; empty = none is.
        note: a sentence below it; may be empty.

    Example:
        >>> shown = html_table("Two", ["name"], [["<a>"], ["b"]])
        >>> "<caption>Two</caption>" in shown, "<a>" in shown, "&lt;a&gt;" in shown
        (True, False, True)
    """
    sides = ["right" if number else "left" for number in numbers or [False] * len(headings)]

    def row(cells: Sequence[object], tag: str, more: str = "") -> str:
        inner = (
            f'<{tag}{more} style="text-align:{side}">{html.escape(str(cell))}</{tag}>'
            for cell, side in zip(cells, sides, strict=True)
        )
        return f"<tr>{''.join(inner)}</tr>"

    head, body = row(headings, "th", ' scope="col"'), "".join(row(cells, "td") for cells in rows[:MAX_ROWS])
    n_more = len(rows) - MAX_ROWS
    more = "" if n_more <= 0 else "1 more row." if n_more == 1 else f"{n_more:,} more rows."
    caption = f"<caption>{html.escape(title)}</caption>" if title else ""
    below = html_lines([" ".join(filter(None, [more, note]))]) if more or note else ""
    return f"<table>{caption}<thead>{head}</thead><tbody>{body}</tbody></table>{below}"


def html_lines(lines: Sequence[str]) -> str:
    """Sentences as paragraphs, escaped.

    Example:
        >>> html_lines(["a < b"])
        '<p>a &lt; b</p>'
    """
    return "".join(f"<p>{html.escape(line)}</p>" for line in lines)


def markdown_table(headings: Sequence[str], rows: Sequence[Sequence[str]], numbers: Sequence[bool] = ()) -> str:
    r"""A table of pipes; nothing in a cell can break it or become HTML.

    Args:
        headings: of the columns.
        rows: texts, as many a row as there are headings.
        numbers: whether each column is set flush right; empty = none is.

    Example:
        >>> print(markdown_table(["name", "n"], [["a|b", "1"]], [False, True]))
        | name | n |
        | :-- | --: |
        | a\|b | 1 |
    """
    sides = numbers or [False] * len(headings)
    rule = "| " + " | ".join("--:" if number else ":--" for number in sides) + " |"
    head, *lines = ("| " + " | ".join(map(markdown_text, row)) + " |" for row in (headings, *rows))
    return "\n".join([head, rule, *lines])


def markdown_text(text: str) -> str:
    r"""A text that stays what it is in a cell or a line of Markdown.

    Example:
        >>> markdown_text("a|b <c> & d")
        'a\\|b &lt;c&gt; &amp; d'
    """
    for raw, safe in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("|", "\\|"), ("\r", " "), ("\n", " ")):
        text = text.replace(raw, safe)
    return text
