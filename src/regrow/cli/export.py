"""``regrow export``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from regrow.cli.console import out, print_json, print_table
from regrow.cli.network import Network
from regrow.errors import DataError, InputError

if TYPE_CHECKING:
    from regrow.sparsity.export.formats import Export, Row


def export(
    run: Annotated[Path, typer.Argument(help="Folder of a run, or its model.safetensors.")],
    out_dir: Annotated[Path | None, typer.Option("--out", help="Folder of the files.")] = None,
    hub: Annotated[
        Path | None,
        typer.Option(
            "--hub", help="Folder to share, as Hugging Face keeps networks, with a model card; in place of --out."
        ),
    ] = None,
    licence: Annotated[
        str, typer.Option("--license", help="With --hub: licence of the weights, e.g. apache-2.0; named in the card.")
    ] = "",
    formats: Annotated[
        str, typer.Option("--format", help="compact, csr, 2:4, dense-small, onnx, by commas; or all that can be had.")
    ] = "compact,dense-small",
    batch: Annotated[int, typer.Option(min=1, help="Images a batch, for times and memory.")] = 1,
    zero_dead_norms: Annotated[
        bool,
        typer.Option("--zero-dead-norms", help="Silence channels of dead filters first: smaller, other outputs."),
    ] = False,
    network: Network = None,
    force: Annotated[bool, typer.Option("--force", help="Replace files of an earlier export.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the numbers for machines.")] = False,
) -> None:
    """Write a trained sparse network in other forms: verified, with size, time and memory before and after."""
    from regrow.models.user import named
    from regrow.sparsity.export.formats import FILES, parse_formats

    if hub is not None:
        if out_dir is not None:
            raise InputError("--hub and --out are two kinds of export.", "give one of them.")
        with named(*network or ()):
            _share(run, hub, licence, force, as_json)
        return
    if out_dir is None or licence:
        raise InputError(
            "--license is for --hub." if licence else "there is no --out.",
            "add --out DIR, or --hub DIR for a folder to share.",
        )
    wanted = parse_formats(formats)
    there = [FILES[name] for name in wanted if (out_dir / FILES[name]).exists()]
    there += ["export.json"] if (out_dir / "export.json").exists() else []
    if there and not force:
        raise InputError(f"{out_dir} holds {', '.join(there)} already.", "choose another --out, or add --force.")
    with named(*network or ()):
        result, facts = _export(run, out_dir, wanted, batch, zero_dead_norms, skip="all" in formats)
    if as_json:
        print_json(facts)
    else:
        _print(result, out_dir, batch)


def _share(run: Path, folder: Path, licence: str, force: bool, as_json: bool) -> None:
    from regrow.report.sharing import share

    saved = share(run, folder, licence=licence, force=force)
    if as_json:
        print_json({"folder": str(folder), **saved.config["weights"]})
        return
    out.print(
        f"{folder}: model.safetensors {saved.bytes:,} bytes, {saved.bytes / saved.dense_bytes:.1%} of the network with "
        "its zeros; config.json; README.md, the model card. Read back: the same logits, to the bit.",
        markup=False,
    )
    out.print(f'In Python: regrow.from_pretrained("{folder}")', markup=False)


def _export(
    run: Path, out_dir: Path, wanted: list[str], batch: int, zero_norms: bool, *, skip: bool
) -> tuple[Export, dict[str, Any]]:
    import torch

    from regrow import files
    from regrow.models.user import require_named
    from regrow.sparsity.export.formats import export as write
    from regrow.study.environment import describe_environment
    from regrow.study.execute import restore, spec_of
    from regrow.study.networks import settings_of
    from regrow.training.checkpoint import load_weights

    file = run / "model.safetensors" if run.is_dir() else run
    weights = load_weights(file)
    settings = settings_of(weights, file)
    require_named(settings.model.name)
    try:
        model = restore(weights, settings)
    except (ValueError, RuntimeError) as error:
        raise DataError(f"{run} holds weights that do not fit its settings ({str(error).splitlines()[0]}).") from None
    spec = spec_of(weights, settings)
    shape, generator = (batch, *spec.input_shape), torch.Generator().manual_seed(0)
    if spec.modality == "text":
        example = torch.randint(1, 128, shape, generator=generator).float()
    else:
        example = torch.randn(shape, generator=generator)
    meta = {"run": weights.meta, "regrow": "export"}
    result = write(model, weights.masks, out_dir, wanted, example=example, meta=meta, zero_norms=zero_norms, skip=skip)
    facts = {
        "run": str(run),
        "batch": batch,
        "threads": 1,
        "density": result.density,
        "norms_change": result.norms_change,
        "dense": _facts(result.dense),
        "formats": {row.format: _facts(row) for row in result.rows},
        "refused": result.refused,
        "summary": result.summary,
        "environment": describe_environment(),
    }
    files.write_json(out_dir / "export.json", facts)
    return result, facts


def _facts(row: Row) -> dict[str, Any]:
    return {
        "file": row.file,
        "bytes": row.bytes,
        "latency_ms": row.latency._asdict() if row.latency else None,
        "memory_bytes": row.memory._asdict() if row.memory else None,
        "max_difference": row.max_difference,
        "note": row.note,
    }


def _print(result: Export, out_dir: Path, batch: int) -> None:
    dense = result.dense
    rows = []
    for row in (dense, *result.rows):
        time = f"{row.latency.median_ms:.2f}" if row.latency else "-"
        held = f"{row.memory.weights / 1e6:.3f} / {row.memory.peak / 1e6:.3f}" if row.memory else "-"
        difference = "-" if row.max_difference is None else f"{row.max_difference:.1e}"
        rows.append((row.format, f"{row.bytes:,}", f"{row.bytes / dense.bytes:.1%}", time, held, difference))
    columns = ("format", "bytes", "of dense", f"ms a batch of {batch}", "weights / peak MB", "max difference")
    print_table(f"{out_dir} (density {result.density:.3f})", columns, rows)
    for row in result.rows:
        out.print(f"{row.format}: {out_dir / row.file}: {row.note}.", markup=False)
    for name, reason in result.refused.items():
        out.print(f"{name}: not written: {reason}", markup=False)
    if result.norms_change is not None:
        out.print(f"Zeroed norms of dead filters changed the outputs by up to {result.norms_change:.3g}.", markup=False)
    out.print("- means: no own form in memory; it is loaded and runs as the dense network.", markup=False)
    for line in result.summary:
        out.print(line, markup=False)
