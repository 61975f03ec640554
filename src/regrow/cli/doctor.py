"""``regrow doctor``: what this machine has, what is missing, and how to get it."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path
from typing import Annotated, Any

import typer

from regrow.cli.console import out, print_json, print_table
from regrow.cli.study import DataRoot


def doctor(
    data_root: DataRoot = None, as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False
) -> None:
    """Show versions, device, precision, data and disk; say what is missing and how to get it."""
    facts = diagnose(data_root)
    if as_json:
        print_json(facts)
        return
    environment = facts["environment"]
    rows = [["regrow", environment["regrow"]], ["python", environment["python"]]]
    rows += [[name, version] for name, version in environment["packages"].items()]
    rows += [
        ["processor", f"{environment['processor']}, {environment['cores']} cores, {environment['instructions']}"],
        ["accelerator", environment["accelerator"] or "none: runs use one CPU core each"],
        ["precision", facts["precision"]],
        ["compiled corruptions", facts["kernel"]],
        ["frost photographs", facts["frost"]],
        ["video files", facts["video"]],
        ["memory", f"{environment['memory_gib']} GiB"],
        ["disk", f"{facts['disk_free_gib']} GiB free in {facts['disk_folder']}"],
    ]
    print_table("", ["what", "found"], rows)
    sets = [[d["name"], "yes" if d["found"] else "no", d["where"] or d["note"]] for d in facts["data"]]
    print_table("data", ["name", "found", "where or how"], sets)
    for line in facts["missing"]:
        out.print(f"missing: {line}", markup=False)


def diagnose(data_root: Path | None) -> dict[str, Any]:
    """Facts of this machine as JSON values."""
    from regrow import data, extras
    from regrow.corruptions import kernel
    from regrow.corruptions.frost import find_textures
    from regrow.study.environment import describe_environment

    environment = describe_environment()
    folder = Path.cwd()
    missing = [
        f"{extras.BRINGS[extra]} ({', '.join(names)}: not installed). Next: pip install 'regrow[{extra}]'."
        for extra, names in extras.absent().items()
    ]
    missing += [line for line in map(_broken, ("timm", "torchvision")) if line]
    sets = data.status(root=data_root)
    missing += [f"data set {row['name']}. Next: {row['note']}" for row in sets if not row["found"]]
    kernel_status = kernel.status()
    photographs = find_textures()
    if photographs.note:
        missing.append("frost photographs: frost is made of a substitute. Next: regrow data get frost.")
    video = _video()
    bf16 = "bf16 in hardware" if environment["bf16_hardware"] else "no bf16 in hardware"
    return {
        "environment": environment,
        "precision": f"{bf16}; every study times fp32 and bf16 when it is planned and takes the faster from 1.15 x on",
        "kernel": ("yes: " if kernel_status.active else "no: ") + kernel_status.detail,
        "frost": "not here: a substitute is used" if photographs.note else "published ones",
        "video": video,
        "disk_free_gib": round(shutil.disk_usage(folder).free / 2**30, 1),
        "disk_folder": str(folder),
        "data": sets,
        "missing": missing,
    }


def _video() -> str:
    from regrow import clips
    from regrow.errors import InputError

    try:
        versions, encoders = clips.versions(), clips.encoders()
    except InputError:
        return "no: PyAV is not installed"
    return f"PyAV {versions['av']}, FFmpeg {versions['ffmpeg']}, encoders {', '.join(encoders) or 'none'}"


def _broken(module: str) -> str:
    """Why the networks of an installed library cannot be had, if so."""
    from regrow import extras
    from regrow.errors import InputError

    if importlib.util.find_spec(module) is None:
        return ""
    try:
        extras.library(module, f"networks of {module}")
    except InputError as error:
        return " ".join(str(error).split())[:400]
    return ""
