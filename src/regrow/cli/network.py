"""Which network a command is about: the options that ``check`` and ``evaluate`` share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from regrow.errors import InputError

if TYPE_CHECKING:
    from regrow.data.spec import DataSpec
    from regrow.study.networks import CheckedModel

Model = Annotated[
    str,
    typer.Option(
        help="Folder of a run, its model.safetensors, or a network by name: timm:NAME, my_module:function ..."
    ),
]
Weights = Annotated[
    Path | None, typer.Option(help="Weights of a network by name: safetensors, or a state dict of torch.save.")
]
Size = Annotated[int | None, typer.Option(min=8, help="Of a network by name: side in pixels of its images.")]
ModelOption = Annotated[
    list[str] | None, typer.Option("--model-option", help="Of a network by name: NAME=VALUE; may be repeated.")
]
Mean = Annotated[str, typer.Option(help="Of a network by name: normalisation, R,G,B in 0..1; default: its own.")]
Std = Annotated[str, typer.Option(help="Standard deviation likewise.")]
Network = Annotated[
    list[str] | None,
    typer.Option(
        "--network", help="MODULE:FUNCTION of yours that a folder names: it is imported where you name it too, only."
    ),
]
OnError = Annotated[str, typer.Option(help="At a file that cannot be read: raise an error, or skip and list it.")]


@dataclass(frozen=True)
class Given:
    """What was said of the network.

    Attributes:
        model: run or name.
        weights: of a name.
        size: pixels.
        options: as NAME=VALUE.
        mean: three numbers by commas, or empty.
        std: likewise.
        network: networks of the user's own that a run may name.
    """

    model: str
    weights: Path | None
    size: int | None
    options: Sequence[str] | None
    mean: str
    std: str
    network: Sequence[str] | None = None

    def open(self, n_classes: int | None = None, like: DataSpec | None = None) -> CheckedModel:
        """The network; see :func:`regrow.study.networks.open_model`."""
        from regrow.models.user import named
        from regrow.study.networks import open_model

        with named(*self.network or ()):
            return open_model(
                self.model,
                self.weights,
                n_classes,
                size=self.size,
                options=parse_options(self.options or [], "--model-option"),
                mean=_three(self.mean, "--mean"),
                std=_three(self.std, "--std"),
                like=like,
            )


def parse_options(given: Sequence[str], what: str) -> dict[str, Any]:
    """Options NAME=VALUE, the values written as in a recipe.

    Raises:
        InputError: one is not of that form.

    Example:
        >>> parse_options(["depth=4", "path=my photos", "classes=[cat, dog]"], "--option")
        {'depth': 4, 'path': 'my photos', 'classes': ['cat', 'dog']}
    """
    import yaml

    found = {}
    for text in given:
        key, sign, value = text.partition("=")
        try:
            found[key.strip()] = yaml.safe_load(value)
        except yaml.YAMLError:
            sign = ""
        if not sign or not key.strip():
            raise InputError(f"{what} {text!r} is not NAME=VALUE.", f"e.g. {what} depth=4")
    return found


def check_on_error(value: str) -> None:
    """Refuse what ``--on-error`` does not know."""
    from regrow.data.scan import ON_ERROR
    from regrow.errors import UnknownNameError

    if value not in ON_ERROR:
        raise UnknownNameError("--on-error", value, ON_ERROR, "give one of these.")


def _three(text: str, what: str) -> tuple[float, ...] | None:
    if not text:
        return None
    try:
        numbers = tuple(float(part) for part in text.split(","))
    except ValueError:
        numbers = ()
    if len(numbers) != 3 or not all(0 <= number <= 1 for number in numbers) or (what == "--std" and 0 in numbers):
        raise InputError(f"{what} {text!r} is not three numbers in 0..1.", f"e.g. {what} 0.5,0.5,0.5")
    return numbers
