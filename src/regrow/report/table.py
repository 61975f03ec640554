"""A table of plain values that can be printed as Markdown, CSV or HTML without losing a digit in between."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from regrow.markup import html_table, markdown_table

#: A value of a table; ``None`` means that there is none.
Value = str | int | float | None

#: How a column is printed. ``percent`` and ``points`` hold fractions in [0, 1] and are multiplied by 100 in print only;
#: ``signed`` holds differences in the unit that its heading names; ``verdict`` the word of a verdict.
Kind = Literal["text", "integer", "number", "percent", "points", "signed", "share", "probability", "verdict"]

MISSING = "–"  # noqa: RUF001 (an en dash is what an empty cell of a printed table shows)
MINUS = "\u2212"


@dataclass(frozen=True)
class Column:
    """One column.

    Attributes:
        key: name in CSV, lower case with underscores.
        label: heading in print.
        kind: how its values are printed.
    """

    key: str
    label: str
    kind: Kind = "text"

    @property
    def is_number(self) -> bool:
        """Whether the column is set flush right."""
        return self.kind not in ("text", "verdict")


@dataclass(frozen=True)
class Table:
    """Rows under columns.

    Attributes:
        title: what the rows are.
        columns: the columns.
        rows: one tuple per row, as long as ``columns``.
        note: one sentence that a reader of the bare table needs, or empty.

    Example:
        >>> table = Table("Scores", (Column("arm", "Arm"), Column("clean", "Clean", "percent")), (("dense", 0.5),))
        >>> print(table.to_markdown())
        | Arm | Clean |
        | :-- | --: |
        | dense | 50.0 % |
        >>> print(table.to_csv(), end="")
        arm,clean
        dense,0.5
    """

    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Value, ...], ...]
    note: str = ""

    def printed(self) -> list[list[str]]:
        """The rows as they are shown to a reader."""
        return [[shown(v, c.kind) for v, c in zip(row, self.columns, strict=True)] for row in self.rows]

    def column(self, key: str) -> list[Value]:
        """All values of the column ``key``; ``KeyError`` if there is none."""
        keys = [c.key for c in self.columns]
        if key not in keys:
            raise KeyError(key)
        at = keys.index(key)
        return [row[at] for row in self.rows]

    def select(self, title: str, keys: Sequence[str], note: str = "") -> Table:
        """The same rows with some of the columns, in the order of ``keys``."""
        names = [c.key for c in self.columns]
        at = [names.index(key) for key in keys]
        rows = tuple(tuple(row[i] for i in at) for row in self.rows)
        return Table(title, tuple(self.columns[i] for i in at), rows, note)

    def to_markdown(self) -> str:
        """Markdown (pipes) with rounded values; nothing in a cell can break the table or become HTML."""
        return markdown_table([c.label for c in self.columns], self.printed(), [c.is_number for c in self.columns])

    def to_html(self) -> str:
        """HTML with rounded values for a notebook: escaped, at most ``markup.MAX_ROWS`` rows."""
        labels, numbers = [c.label for c in self.columns], [c.is_number for c in self.columns]
        return html_table(self.title, labels, self.printed(), numbers, self.note)

    _repr_html_, _repr_markdown_ = to_html, to_markdown

    def to_latex(self) -> str:
        r"""A ``tabular`` with the rules of booktabs and rounded values; nothing in a cell can become a command.

        Example:
            >>> columns = (Column("arm", "Arm"), Column("clean", "Clean", "percent"))
            >>> print(Table("Scores", columns, (("a_b", 0.5),)).to_latex())
            % Scores
            \begin{tabular}{lr}
            \toprule
            Arm & Clean \\
            \midrule
            a\_b & 50.0 \% \\
            \bottomrule
            \end{tabular}
        """
        lines = [
            "% " + " ".join(self.title.split()),
            rf"\begin{{tabular}}{{{''.join('lr'[c.is_number] for c in self.columns)}}}",
        ]
        lines += [r"\toprule", _latex_row([c.label for c in self.columns]), r"\midrule"]
        lines += [_latex_row(row) for row in self.printed()]
        return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"])

    def to_csv(self) -> str:
        """CSV with column keys and unrounded values; missing values are empty; fractions stay in [0, 1]."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow([c.key for c in self.columns])
        writer.writerows([["" if v is None else v for v in row] for row in self.rows])
        return out.getvalue()


#: What LaTeX would read as a command, and the signs of our own prints that its plain fonts lack.
_LATEX = str.maketrans(
    {
        "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}",
        ">": r"\textgreater{}", "|": r"\textbar{}", MINUS: "$-$", MISSING: "--", "\u00d7": r"$\times$",
        "\r": " ", "\n": " ", **{sign: "\\" + sign for sign in "&%$#_{}"},
    }
)  # fmt: skip


def _latex_row(cells: Sequence[str]) -> str:
    # A row that begins with a bracket would be read as an argument of the line break before it.
    texts = [text.translate(_LATEX) for text in cells]
    return " & ".join("{}" + text if text.startswith("[") else text for text in texts) + r" \\"


def shown(value: Value, kind: Kind) -> str:
    """``value`` as a reader sees it.

    Example:
        >>> shown(0.4321, "percent"), shown(-0.0102, "points"), shown(None, "number"), shown(1234567, "integer")
        ('43.2 %', '−1.02', '–', '1,234,567')
    """
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return MISSING
    if isinstance(value, str):
        return value
    return _number(float(value), kind).replace("-", MINUS)


def _number(x: float, kind: Kind) -> str:
    if kind == "percent":
        return f"{100 * x:.1f} %"
    if kind == "points":
        return f"{_unsigned_zero(100 * x, 2):+.2f}" if round(100 * x, 2) else "0.00"
    if kind == "signed":
        return f"{_unsigned_zero(x, 2):+.2f}" if round(x, 2) else "0.00"
    if kind == "share":
        return f"{x:.3f}"
    if kind == "probability":
        return "<0.0001" if 0 <= x < 1e-4 else f"{x:.4f}"
    if kind == "integer":
        return f"{round(x):,}"
    return significant(x)


def _unsigned_zero(x: float, digits: int) -> float:
    return round(x, digits) + 0.0


def significant(x: float) -> str:
    """Three significant digits, with thousands separators and no exponent below 10^15.

    Example:
        >>> significant(12345.6), significant(0.01234), significant(3.0)
        ('12,346', '0.0123', '3')
    """
    if x == 0:
        return "0"
    if abs(x) >= 1e15 or abs(x) < 1e-5:
        return f"{x:.3g}"
    digits = max(0, 2 - math.floor(math.log10(abs(x))))
    text = f"{x:,.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def table(title: str, columns: Sequence[Column], rows: Sequence[Sequence[Value]], note: str = "") -> Table:
    """A ``Table`` from any sequences."""
    return Table(title, tuple(columns), tuple(tuple(row) for row in rows), note)
