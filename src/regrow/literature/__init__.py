"""Figures that others have published, to be shown beside regrow's own and never mixed with them.

    figures(data="cifar10", model="wrn-28-10")     every figure of a data set, network, method, test set, ...
    beside("cifar10")                              the overall ones that a page shows beside a study of that data set
    findings("C6")                                 what earlier work found, as sentences

The figures lie in ``tables/*.yaml``, each with its source. A `Figure` is a type of its own; nothing of regrow makes one
from a result. Accuracies, errors and mCE are in per cent and gains in points, as they were printed.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from importlib import resources
from typing import Any, ClassVar, Literal

import yaml

__all__ = ["OBTAINED", "WHOLE", "Figure", "Finding", "Obtained", "Source", "beside", "figures", "findings", "sources"]

Obtained = Literal["stated", "read", "reviews", "computed", "known"]

#: How a figure was had, from the surest to the least sure.
OBTAINED: Mapping[Obtained, str] = {
    "read": "read in the source's repository",
    "computed": "computed from tables of single cells in the source's repository",
    "stated": "stated in the paper or its abstract",
    "reviews": "stated in the paper according to public reviews: second hand",
    "known": "known from the cited work, not looked up again",
}

#: `Figure.part` of a mean over all types and severities, and of clean images.
WHOLE = "all"


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where figures come from.

    Attributes:
        key: its short name.
        title: of the paper.
        authors: likewise.
        year: likewise.
        paper: its identifier, e.g. ``"arXiv:2010.09670"``.
        repository: owner and name on GitHub, where figures were read in it.
        commit: the state that was read.
        dated: day of that commit.
    """

    key: str
    title: str
    authors: str
    year: int
    paper: str
    repository: str = ""
    commit: str = ""
    dated: str = ""

    @property
    def citation(self) -> str:
        """Authors, year and identifier of the paper."""
        return f"{self.authors} {self.year}, {self.paper}"

    def __str__(self) -> str:
        return f"{self.citation}; {self.repository} at {self.commit}" if self.repository else self.citation


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One published number. Never a result of regrow.

    Attributes:
        data: the data set, by regrow's name where it has it.
        test: the images: ``"clean"``, ``"cifar10-c"``, ``"imagenet-c-bar"``, ...
        model: the network, as its source calls it.
        method: how it was trained.
        metric: ``"accuracy"``, ``"error"``, ``"mCE"``, ``"mPC"``, ``"rPC"`` or ``"gain over dense"``.
        value: the number; the lower end where there is an upper one.
        unit: ``"%"``, ``"points"`` or ``"share"``.
        source: where it comes from.
        where: the place there.
        obtained: how it was had, see `OBTAINED`.
        version: of the table; raised when a number of it is corrected.
        part: ``"all"``, or a corruption, a family, or ``"severity 3"``.
        over: what the number is a mean over.
        sparsity: of the trained network; None where it is dense or not said.
        spread: as printed with the number.
        upper: upper end of a range.
        work: paper of the network, where the source is a collection.
        note: what must be said of it.
    """

    ours: ClassVar[Literal[False]] = False

    data: str
    test: str
    model: str
    method: str
    metric: str
    value: float
    unit: str
    source: Source
    where: str
    obtained: Obtained
    version: int
    part: str = WHOLE
    over: str = ""
    sparsity: float | None = None
    spread: float | None = None
    upper: float | None = None
    work: str = ""
    note: str = ""

    @property
    def text(self) -> str:
        """The number with its spread, the end of its range, and its unit.

        Example:
            >>> figures(test="cifar10-c-bar", method="AugMix")[0].text
            '16 ± 0.3 %'
        """
        ends = f"{self.value:g}" if self.upper is None else f"{self.value:g} to {self.upper:g}"
        spread = "" if self.spread is None else f" ± {self.spread:g}"
        return f"{ends}{spread} {self.unit}"

    def row(self) -> dict[str, Any]:
        """Plain values, for a table or for JSON; ``ours`` is false in each."""
        plain = {field.name: getattr(self, field.name) for field in fields(self)}
        return {"ours": self.ours, **plain, "source": str(self.source)}


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What a work found, as a sentence.

    Attributes:
        work: authors and year.
        paper: its identifier.
        finding: the sentence.
        bearing: what it means for the comparison of sparse and dense training.
        claims: those of C1 to C7 that it bears on.
        obtained: how it was had, see `OBTAINED`.
        version: of the table.
    """

    ours: ClassVar[Literal[False]] = False

    work: str
    paper: str
    finding: str
    bearing: str
    claims: tuple[str, ...]
    obtained: Obtained
    version: int


def _tables() -> Iterator[tuple[str, dict[str, Any]]]:
    folder = resources.files(__name__) / "tables"
    for file in sorted(folder.iterdir(), key=lambda file: file.name):
        yield file.name, yaml.safe_load(file.read_text("utf-8"))


@functools.cache
def sources() -> dict[str, Source]:
    """Every source, by its key."""
    rows = (content["sources"] for _, content in _tables() if "sources" in content)
    return {
        key: Source(**{**values, "key": key, "dated": str(values.get("dated", ""))})
        for listed in rows
        for key, values in listed.items()
    }


def _number(cell: Any) -> dict[str, float]:
    """A cell: a number, [number, spread] or {from, to}."""
    if isinstance(cell, list):
        value, spread = cell
        return {"value": float(value), "spread": float(spread)}
    if isinstance(cell, dict):
        return {"value": float(cell["from"]), "upper": float(cell["to"])}
    return {"value": float(cell)}


def _expanded(table: Mapping[str, Any], version: int) -> Iterator[Figure]:
    """The figures of one table: a row begins with what ``by`` names, then comes a number for each column."""
    shared = {key: value for key, value in table.items() if key not in ("by", "columns", "rows")}
    shared["source"] = sources()[table["source"]]
    n = len(table["by"])
    for row in table["rows"]:
        said = dict(zip(table["by"], row[:n], strict=True))
        for column, cell in zip(table["columns"], row[n:], strict=True):
            yield Figure(**{**shared, **said, **column, **_number(cell), "version": version})


@functools.cache
def _figures() -> tuple[Figure, ...]:
    return tuple(
        figure
        for _, content in _tables()
        for table in content.get("tables", ())
        for figure in _expanded(table, content["version"])
    )


def _plain(name: str) -> str:
    """A name without case, punctuation and the library before a colon: ``timm:resnet50`` is ``ResNet-50``."""
    return re.sub(r"[^a-z0-9+]", "", name.lower().rpartition(":")[2])


def figures(
    *,
    data: str | None = None,
    model: str | None = None,
    method: str | None = None,
    test: str | None = None,
    metric: str | None = None,
    part: str | None = None,
    obtained: Obtained | None = None,
) -> list[Figure]:
    """The published figures of which all that is given holds.

    Args:
        data: data set, e.g. ``"cifar10"``.
        model: network; case and punctuation do not matter, nor a library before it.
        method: training, likewise.
        test: images, likewise.
        metric: likewise.
        part: ``"all"``, a corruption, a family or ``"severity 3"``, likewise.
        obtained: how they were had.

    Returns:
        In the order of the tables; empty where nothing is known.

    Example:
        >>> [f.value for f in figures(data="cifar10", model="wrn-28-10", test="cifar10-c", part="all")]
        [73.46]
    """
    asked = {"data": data, "model": model, "method": method, "test": test, "metric": metric, "part": part}
    wanted = {key: _plain(value) for key, value in asked.items() if value is not None}
    return [
        figure
        for figure in _figures()
        if all(_plain(getattr(figure, key)) == value for key, value in wanted.items())
        and obtained in (None, figure.obtained)
    ]


def beside(data: str) -> list[Figure]:
    """What a page shows beside a study of a data set: its overall figures, those of clean images among them.

    Example:
        >>> {figure.test for figure in beside("cifar100")} == {"clean", "cifar100-c"}, beside("cues")
        (True, [])
    """
    return figures(data=data, part=WHOLE)


def findings(claim: str | None = None) -> list[Finding]:
    """What earlier work found; of one claim (``"C1"`` to ``"C7"``), or all."""
    return [finding for finding in _findings() if claim is None or claim in finding.claims]


@functools.cache
def _findings() -> tuple[Finding, ...]:
    return tuple(
        Finding(**{**row, "claims": tuple(row["claims"]), "version": content["version"]})
        for _, content in _tables()
        for row in content.get("findings", ())
    )
