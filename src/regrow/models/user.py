"""Networks of the user's own: ``module:function``, found as Python finds modules, and in the current folder."""

from __future__ import annotations

import contextlib
import importlib
import inspect
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from regrow import files
from regrow.errors import InputError, UnknownNameError
from regrow.models._family import Family, Request
from regrow.models.adaptor import tried

_PATTERN = re.compile(r"(?!timm:|torchvision:)([A-Za-z_][\w.]*:[A-Za-z_]\w*)")


def user_model(request: Request) -> nn.Module:
    """The network that ``function(n_classes, **options)`` returns; it is given ``image_size`` too if it takes that.

    Raises:
        InputError: no such module or function, it fails, or what it returns gives no logits for one image or clip.
    """
    function = _function(request.part)
    given = dict(request.options)
    if "image_size" in inspect.signature(function).parameters:
        given["image_size"] = request.image_size
    try:
        model = function(request.n_classes, **given)
    except Exception as error:
        reason = " ".join(str(error).split())[:160]
        raise InputError(
            f"{request.name} failed: {type(error).__name__}: {reason}.",
            "it is called as function(n_classes, **options).",
        ) from error
    if not isinstance(model, nn.Module):
        raise InputError(f"{request.name} returned a {type(model).__name__}.", "let it return a torch.nn.Module.")
    return _tried(model, request)


#: Lengths of the clips that networks are tried on; one that takes but one length is most often made for one of these.
_FRAMES = (16, 8, 32, 64)


def _tried(model: nn.Module, request: Request) -> nn.Module:
    """The model, after an image or else a clip has gone through it; only its author knows which it takes."""
    try:
        return tried(model, request)
    except InputError:
        for frames in _FRAMES:
            with contextlib.suppress(InputError):
                return tried(model, request, frames)
        raise


def is_users(name: str) -> bool:
    """Whether a name is of a network of the user's, ``module:function``; nothing is imported.

    Example:
        >>> is_users("my_net:small"), is_users("timm:resnet50"), is_users("resnet20")
        (True, False, False)
    """
    return _PATTERN.fullmatch(name) is not None


def source_file(name: str) -> Path | None:
    """The file that holds a network of the user's; ``None`` where its module has none.

    Raises:
        InputError: there is no such module.
    """
    source = _module(name).__file__
    return None if source is None else Path(source)


def source_digest(name: str) -> str | None:
    """SHA-256 of the file that holds a network of the user's, which settles its bits; ``None`` for other networks.

    Raises:
        InputError: there is no such module.
    """
    source = source_file(name) if is_users(name) else None
    return None if source is None else files.file_digest(source)


def _function(part: str) -> Callable[..., Any]:
    where, _, name = part.partition(":")
    module = _module(part)
    found = getattr(module, name, None)
    if not callable(found):
        known = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
        raise UnknownNameError(f"function of {where}", name, known, f"define it in {module.__file__}.")
    function: Callable[..., Any] = found
    return function


#: Whether names come from a folder now, which may be a stranger's, and not from the user.
_from_folder = ContextVar("_from_folder", default=False)
#: Networks that the user has named; of the process, since what was said holds in its threads too.
_named: list[str] = []


@contextlib.contextmanager
def from_folder() -> Iterator[None]:
    """Import meanwhile no module but those of networks that the user has named: a folder names any at will."""
    before = _from_folder.set(True)
    try:
        yield
    finally:
        _from_folder.reset(before)


@contextlib.contextmanager
def named(*names: str | None) -> Iterator[None]:
    """Let networks, ``module:function``, be imported meanwhile although a folder names them: the user has too.

    Raises:
        InputError: a name is none of such a network.
    """
    given = [name for name in names if name is not None]
    for name in given:
        if not is_users(name):
            raise InputError(f"{name} is no network of your own.", "give it as MODULE:FUNCTION, or leave it out.")
    _named.extend(given)
    try:
        yield
    finally:
        for name in given:
            _named.remove(name)


def named_in(values: Any) -> set[str]:
    """The networks of the user's among nested values, e.g. of a recipe that they gave.

    Example:
        >>> named_in({"model": {"name": "my_net:small"}, "axes": {"model.name": ["vgg16"]}})
        {'my_net:small'}
    """
    if isinstance(values, Mapping):
        return set().union(*map(named_in, values.values()))
    if isinstance(values, list | tuple):
        return set().union(*map(named_in, values))
    return {values} if isinstance(values, str) and is_users(values) else set()


def require_named(name: str) -> None:
    """Refuse a network that a folder names and the user has not.

    Raises:
        InputError: it is Python code that would be imported because a file says so.
    """
    if is_users(name) and name not in _named:
        raise InputError(
            f"{name} is code that the folder names, which is not run unasked.",
            f"if you trust it, add --network {name} (in Python network={name!r}).",
        )


def _module(network: str) -> ModuleType:
    """The module of ``module:function``."""
    if _from_folder.get():
        require_named(network)
    name = network.partition(":")[0]
    with _current_folder():
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name != name.split(".")[0] and error.name != name:
                raise InputError(
                    f"{name} needs a module that is not installed ({error.name}).", "install it."
                ) from error
            raise InputError(
                f"there is no module {name} in {Path.cwd()} or among the installed ones.",
                "run regrow in the folder that holds it, or put that on PYTHONPATH.",
            ) from error
        except Exception as error:
            reason = " ".join(str(error).split())[:160]
            raise InputError(f"{name} cannot be imported: {type(error).__name__}: {reason}.", "correct it.") from error


@contextlib.contextmanager
def _current_folder() -> Iterator[None]:
    """Look for modules in the current folder first, as ``python -m`` does."""
    folder = str(Path.cwd())
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):
            sys.path.remove(folder)


FAMILY = Family(
    label="MODULE:FUNCTION",
    pattern=_PATTERN,
    text="a network of yours: function(n_classes, **options) -> torch.nn.Module; any options",
    source="your own",
    build=user_model,
    prefixes=("MODULE:FUNCTION",),
    options=None,
    any_input=True,
)
