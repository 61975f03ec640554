"""The libraries of extras such as ``regrow[models]``, imported where they are asked for."""

from __future__ import annotations

import importlib
import importlib.util
from importlib import metadata
from typing import Any

from regrow.errors import InputError

#: Library -> the extra that it comes with.
EXTRA = {
    "timm": "models",
    "torchvision": "models",
    "captum": "explain",
    "tensorboard": "tensorboard",
    "mlflow": "mlflow",
    "ray": "ray",
    "av": "video",
    "onnx": "onnx",
    "onnxscript": "onnx",
    "onnxruntime": "onnx",
    "datasets": "hf",
}
#: Extra -> what it brings.
BRINGS = {
    "models": "networks of timm and torchvision",
    "video": "corruptions of video files, and three of 3DCC",
    "onnx": "export to ONNX",
    "hf": "data sets of Hugging Face",
    "explain": "integrated gradients",
    "ray": "studies on a Ray cluster",
    "tensorboard": "logs for TensorBoard",
    "mlflow": "runs on an MLflow server",
}


def absent() -> dict[str, list[str]]:
    """Extras that are not whole, each with its libraries that are not installed."""
    found: dict[str, list[str]] = {}
    for name, extra in EXTRA.items():
        if importlib.util.find_spec(name) is None:
            found.setdefault(extra, []).append(name)
    return found


def library(name: str, wanted: str) -> Any:
    """A module of a library of `EXTRA`.

    Args:
        name: the module.
        wanted: what needs it, as the subject of a sentence in the plural, e.g. ``"timm models"``.

    Raises:
        InputError: it is not installed, or cannot be loaded beside this torch.
    """
    extra = EXTRA[name.partition(".")[0]]
    if extra == "models":
        from regrow import _torchvision  # needs torch, which those who ask for no library do not

        _torchvision.declare()
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise InputError(
            f"{wanted} need a library that is not installed ({error.name}).", f"`pip install 'regrow[{extra}]'`."
        ) from error
    except (ImportError, OSError, RuntimeError, AttributeError) as error:
        raise InputError(
            f"{wanted} need {name}, which is installed but cannot be loaded: {error}.",
            _together() if extra == "models" else f"`pip install --force-reinstall 'regrow[{extra}]'`.",
        ) from error


def _together() -> str:
    return (
        f"install torch and torchvision builds that belong together (torch here is {metadata.version('torch')}); "
        "`regrow doctor` shows both."
    )
