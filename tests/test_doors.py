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
    "regrow.cli.app": ["torch", "numpy", "scipy", "altair", "lightning_fabric", "PIL"],
}


@pytest.mark.parametrize("door", CASES)
def test_a_door_loads_nothing_of_the_others(door: str) -> None:
    code = f"import sys, {door}; print(*[m for m in {CASES[door]!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_every_public_name_can_be_had() -> None:
    import regrow

    for name in regrow.__all__:
        assert getattr(regrow, name) is not None
    with pytest.raises(AttributeError, match="atach"):
        _ = regrow.atach
