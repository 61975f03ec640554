"""Each door loads alone: what a user of one library pays for."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ["timm", "torchvision", "altair", "vl_convert", "lightning_fabric", "scipy", "PIL", "pydantic", "rich", "typer"]
CASES = {
    "regrow": [*HEAVY, "torch", "numpy"],
    "regrow.sparsity": [*HEAVY, "regrow.corruptions", "regrow.data", "regrow.models", "regrow.training"],
    "regrow.corruptions": [
        *(name for name in HEAVY if name not in ("scipy", "PIL")),
        "torch",
        "regrow.sparsity",
        "regrow.data",
        "regrow.models",
    ],
    "regrow.literature": [*HEAVY, "torch", "numpy", "regrow.evaluation", "regrow.report"],
    "regrow.cli.app": ["torch", "numpy", "scipy", "altair", "lightning_fabric", "PIL"],
    "regrow.study.watching": ["torch", "scipy", "altair", "lightning_fabric", "PIL", "regrow.report"],
}


@pytest.mark.parametrize("door", CASES)
def test_a_door_loads_nothing_of_the_others(door: str) -> None:
    code = f"import sys, {door}; print(*[m for m in {CASES[door]!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_training_evaluation_and_analysis_need_nothing_that_draws() -> None:
    """On a machine without the libraries that draw pages and figures every module of these rooms loads."""
    code = """
import importlib, pkgutil, sys
for name in ("altair", "vl_convert", "jinja2", "captum", "matplotlib"):
    sys.modules[name] = None  # its import fails
for name in ("regrow.training", "regrow.evaluation", "regrow.analysis", "regrow.study"):
    for module in pkgutil.walk_packages(importlib.import_module(name).__path__, name + "."):
        importlib.import_module(module.name)
print(*[name for name in sys.modules if name.startswith("regrow.report")])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []


def test_every_public_name_can_be_had() -> None:
    import regrow

    for name in regrow.__all__:
        assert getattr(regrow, name) is not None
    with pytest.raises(AttributeError, match="atach"):
        _ = regrow.atach
