"""Export in one call: write a network in several forms, verify each, and measure it beside the dense one."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from regrow import files
from regrow.errors import InputError, RegrowError, UnknownNameError
from regrow.sparsity.export import semi_structured
from regrow.sparsity.export.compact import information_limit, load_compact, save_compact
from regrow.sparsity.export.compaction import compact, zero_dead_norms
from regrow.sparsity.export.csr import load_csr, save_csr, sparse_linears
from regrow.sparsity.export.measure import Latency, Memory, latency, memory
from regrow.sparsity.export.onnx import session, to_onnx
from regrow.sparsity.export.resize import fit_to_state

__all__ = ["FILES", "Export", "Row", "export", "parse_formats"]

#: The file of each format.
FILES = {
    "compact": "model.rgz",
    "csr": "model.csr.npz",
    "2:4": "two-of-four.json",
    "dense-small": "dense-small.rgz",
    "onnx": "model.onnx",
}
#: Largest difference of outputs, relative to max(1, largest output).
TOLERANCE = 1e-5


class Row(NamedTuple):
    """A format: its file and bytes, and what was measured; None where it runs as the dense network, or not at all."""

    format: str
    file: str
    bytes: int
    latency: Latency | None
    memory: Memory | None
    max_difference: float | None
    note: str


@dataclass(frozen=True)
class Export:
    """What `export` did.

    Attributes:
        dense: the network before, zeros stored.
        rows: one for each format.
        refused: format -> why it was not written.
        density: active weights / weights of the masked layers; 1 where there are none.
        norms_change: change of the outputs by zeroed norms; None where they were left.
        summary: plain sentences on what gets smaller or faster, and what does not.
    """

    dense: Row
    rows: list[Row]
    refused: dict[str, str]
    density: float
    norms_change: float | None
    summary: list[str]


@dataclass(frozen=True)
class _Made:
    """A written format: bytes, difference, and what runs it (nothing where it is loaded into the dense network)."""

    bytes: int
    difference: float | None
    note: str = ""
    run: Callable[[Tensor], object] | None = None
    module: nn.Module | None = None


@dataclass(frozen=True)
class _Given:
    model: nn.Module
    masks: Mapping[str, Tensor]
    meta: Mapping[str, Any]
    example: Tensor

    def difference(self, other: nn.Module) -> float:
        with torch.no_grad():
            expected, got = self.model(self.example), other(self.example)
        return float((expected.double() - got.double()).abs().max())

    def require_equal(self, other: nn.Module, what: str) -> float:
        difference = self.difference(other)
        with torch.no_grad():
            scale = max(1.0, float(self.model(self.example).abs().max()))
        if not difference <= TOLERANCE * scale:
            raise RegrowError(f"the {what} network's outputs differ by {difference:.3g}.", "please report the network.")
        return difference


def parse_formats(text: str) -> list[str]:
    """Formats from a list by commas, or ``all``.

    Raises:
        UnknownNameError: no such format.
    """
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name != "all" and name not in FILES:
            raise UnknownNameError("export format", name, [*FILES, "all"], "e.g. --format compact,dense-small")
    return list(FILES) if "all" in names or not names else list(dict.fromkeys(names))


def export(
    model: nn.Module,
    masks: Mapping[str, Tensor],
    folder: Path,
    formats: Iterable[str],
    *,
    example: Tensor,
    meta: Mapping[str, Any] | None = None,
    zero_norms: bool = False,
    skip: bool = False,
    repeats: int = 15,
) -> Export:
    """Write a network in several forms, check that each gives the same outputs, and measure size, time and memory.

    Args:
        model: the network; a copy is taken, in evaluation mode, with its masks applied.
        masks: name -> bool mask.
        folder: where the files go; files of the same name are replaced.
        formats: keys of `FILES`.
        example: an input batch, for checks and measurements.
        meta: JSON values that are kept in the compact file.
        zero_norms: set batch norm of dead filters to 0 first (`zero_dead_norms`: this changes the outputs).
        skip: note a format that this network or machine cannot have, instead of raising.
        repeats: rounds of timing.

    Raises:
        InputError: a format cannot be had (and not ``skip``).
        RegrowError: a written network gives other outputs.
    """
    plain = _applied(model, masks)
    change = zero_dead_norms(plain, masks, example=example).max_change if zero_norms else None
    given = _Given(plain, masks, dict(meta or {}), example)
    made: dict[str, _Made] = {}
    refused: dict[str, str] = {}
    for name in formats:
        try:
            made[name] = _MAKERS[name](given, folder / FILES[name])
        except InputError as error:
            if not skip:
                raise
            refused[name] = error.message
    runs = {name: one.run for name, one in made.items() if one.run is not None}
    times = latency({"dense": plain, **runs}, example, repeats=repeats)
    rows = [
        Row(
            name,
            FILES[name],
            one.bytes,
            times.get(name),
            memory(one.module, example) if one.module is not None else None,
            one.difference,
            one.note,
        )
        for name, one in made.items()
    ]
    size = sum(t.numel() * t.element_size() for t in plain.state_dict().values())
    dense = Row("dense", "", size, times["dense"], memory(plain, example), 0.0, "the network as it is, zeros stored")
    weights = sum(mask.numel() for mask in masks.values())
    density = sum(int(mask.sum()) for mask in masks.values()) / weights if weights else 1.0
    return Export(dense, rows, refused, density, change, _summary(dense, rows, density))


def _applied(model: nn.Module, masks: Mapping[str, Tensor]) -> nn.Module:
    plain = copy.deepcopy(model).eval()
    with torch.no_grad():
        for name, mask in masks.items():
            plain.get_parameter(name).masked_fill_(~mask, 0.0)
    return plain


def _compact(given: _Given, path: Path) -> _Made:
    size = save_compact(path, given.model.state_dict(), given.masks, given.meta)
    state, _, _ = load_compact(path)
    loaded = copy.deepcopy(given.model)
    loaded.load_state_dict(state)
    difference = given.difference(loaded)
    if difference != 0:
        raise RegrowError(f"the compact file gives outputs that differ by {difference:.3g}.", "please report it.")
    limit = sum(information_limit(m.numel(), int(m.sum())) for m in given.masks.values()) / 8
    note = f"mask bits {size.masks:,} bytes, no code needs fewer than {limit:,.0f}" if given.masks else "no masks"
    return _Made(size.total, difference, f"loads as the dense network; {note}")


def _csr(given: _Given, path: Path) -> _Made:
    sparse, names = sparse_linears(given.model, given.masks, density=1.0)
    size = save_csr(path, given.model.state_dict(), given.masks)
    state, _ = load_csr(path)
    loaded = copy.deepcopy(given.model)
    loaded.load_state_dict(state)
    differences = (given.difference(loaded), given.require_equal(sparse, "CSR"))
    note = f"{len(names)} linear layers run on compressed rows; convolutions stay dense"
    return _Made(size, max(differences), note, sparse, sparse)


def _two_of_four(given: _Given, path: Path) -> _Made:
    weights = {name: given.model.get_parameter(name) for name in given.masks}
    rows = semi_structured.check_2_4(weights)
    bad = [row for row in rows if row.violations]
    if bad or not rows:
        said = f"{bad[0].name}: {bad[0].problem}" if bad else "no layer has a mask"
        raise InputError(f"{len(bad)} of {len(rows)} layers are not 2:4 sparse ({said}).", "train with a 2:4 method.")
    files.write_json(path, [row._asdict() for row in rows])
    fitting = sum(not row.problem for row in rows)
    hardware = semi_structured.hardware_problem()
    note = f"all masked layers are 2:4 sparse, {fitting} of {len(rows)} have a kernel; {hardware or 'a GPU is here'}"
    return _Made(path.stat().st_size, None, note)


def _dense_small(given: _Given, path: Path) -> _Made:
    small, report = compact(given.model, given.masks, example=given.example, tolerance=TOLERANCE)
    groups = [row._asdict() for row in report.groups]
    size = save_compact(path, small.state_dict(), {}, {**given.meta, "compaction": groups})
    loaded = fit_to_state(given.model, load_compact(path)[0]).eval()
    difference = max(report.max_difference, given.require_equal(loaded, "smaller"))
    removed, total = sum(row.removed for row in report.groups), sum(row.size for row in report.groups)
    note = (
        f"{removed} of {total} channels removed, {report.parameters_after:,} of {report.parameters_before:,} parameters"
    )
    idle = sum(row.kept_idle for row in report.groups)
    if idle:
        reasons = {row.reason for row in report.groups if row.kept_idle}
        note += f"; {idle} idle channels kept ({'; '.join(sorted(reasons))})"
    return _Made(size.total, difference, note, loaded, loaded)


def _onnx(given: _Given, path: Path) -> _Made:
    written = to_onnx(given.model, given.example, path)
    if written.max_difference is None:
        return _Made(written.bytes, None, "not verified: onnxruntime is not installed")
    return _Made(written.bytes, written.max_difference, "zeros are stored and multiplied", session(path))


_MAKERS: dict[str, Callable[[_Given, Path], _Made]] = {
    "compact": _compact,
    "csr": _csr,
    "2:4": _two_of_four,
    "dense-small": _dense_small,
    "onnx": _onnx,
}


def _summary(dense: Row, rows: list[Row], density: float) -> list[str]:
    """What to expect, in plain words, from the numbers of this export."""
    lines = []
    if density < 1:
        lines.append(
            "Scattered zeros make files smaller, not the network faster: dense kernels multiply zeros like any number."
        )
    assert dense.latency is not None
    for row in rows:
        if row.latency is None or row.format == "onnx":
            continue
        ratio = row.latency.median_ms / dense.latency.median_ms
        span = row.latency.low_ms <= dense.latency.high_ms and dense.latency.low_ms <= row.latency.high_ms
        if span:
            lines.append(f"{row.format} takes about the dense network's time here (the quartiles overlap).")
        else:
            word = f"{1 / ratio:.2f} times faster" if ratio < 1 else f"{ratio:.2f} times slower"
            lines.append(f"{row.format} is {word} than the dense network here.")
    return lines
