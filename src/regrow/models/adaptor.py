"""The classification networks of timm and torchvision, by their own names: ``timm:NAME``, ``torchvision:NAME``.

Both libraries come with the extra ``regrow[models]`` and are imported when a name of theirs is asked for.
"""

from __future__ import annotations

import re
from typing import Any

import torch
from torch import nn

from regrow import extras
from regrow.errors import InputError, UnknownNameError
from regrow.models._family import Family, InputSpec, Request

#: torchvision's networks that fix the image size when they are made, and the argument that says it.
SIZE_ARGUMENTS = {"vit_": "image_size", "maxvit_": "input_size"}
#: torchvision's networks that return more than logits in training unless told otherwise.
AUXILIARY = ("googlenet", "inception_v3")


#: Options of timm's networks that are ours; others are handed on.
OWN_OPTIONS = ("pretrained", "drop_path", "dropout", "stem_stride")


def _library(name: str) -> Any:
    return extras.library(name, f"{name} networks")


def _pretrained(request: Request) -> bool:
    value = request.options.get("pretrained", False)
    if not isinstance(value, bool):
        raise InputError(f"the option pretrained must be true or false, got {value!r}.", "correct the option.")
    return value


def _share(request: Request, key: str) -> float:
    value = request.options.get(key, 0.0)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1:
        raise InputError(f"the option {key} must be in [0, 1), got {value!r}.", "e.g. 0.1.")
    return float(value)


def _with_stem_stride(model: nn.Module, request: Request) -> nn.Module:
    """The model, its first convolution at another stride: 1 for images far smaller than its own."""
    stride = request.options.get("stem_stride")
    if stride is None:
        return model
    if isinstance(stride, bool) or not isinstance(stride, int) or not 1 <= stride <= 4:
        raise InputError(f"the option stem_stride must be a whole number from 1 to 4, got {stride!r}.", "e.g. 1.")
    first = next((module for module in model.modules() if isinstance(module, nn.Conv2d)), None)
    if first is None or first.stride == first.kernel_size:
        raise InputError(f"{request.name} has no strided stem: its first layer cuts patches.", "leave stem_stride out.")
    first.stride = (stride, stride)
    return model


def _no_weights(request: Request, error: Exception) -> InputError:
    return InputError(
        f"{request.name}: the pretrained weights could not be had: {error}.",
        "check the network connection, or leave out pretrained for random weights.",
    )


def _not_built(request: Request, reason: object) -> InputError:
    return InputError(
        f"{request.name} cannot be built for {request.n_classes} classes and {request.image_size}-pixel images: "
        f"{reason}.",
        "try the image size and classes that the network was made for, or another network.",
    )


def tried(model: nn.Module, request: Request, frames: int | None = None) -> nn.Module:
    """The model itself, after one image of the asked size, or one clip of so many of them, has gone through it.

    Raises:
        InputError: it fails, or does not give one row of logits.
    """
    model.eval()
    shape = [1, 3, *([] if frames is None else [frames]), request.image_size, request.image_size]
    try:
        with torch.no_grad():
            out = model(torch.zeros(shape))
    except (RuntimeError, ValueError, AssertionError) as error:
        raise _not_built(request, error) from error
    if not isinstance(out, torch.Tensor) or out.shape != (1, request.n_classes):
        raise _not_built(request, "its output is not one row of logits per image")
    return model.train()


def _timm(name: str) -> Any:
    """The module timm, once it is sure that it has a model of that name (with or without a weights tag)."""
    timm = _library("timm")
    stem, _, tag = name.partition(".")
    known = timm.list_models()
    if stem not in known:
        raise UnknownNameError("timm model", name, known, '`python -c "import timm; print(timm.list_models())"`.')
    tagged = timm.list_pretrained(f"{stem}.*") if tag else []
    if tag and name not in tagged:
        raise UnknownNameError("timm model", name, tagged, f"give a tag that exists, or timm:{stem} alone.")
    return timm


def timm_model(request: Request) -> nn.Module:
    """A network of timm with a head for ``n_classes``.

    Options: ``pretrained`` (a new head unless 1000 classes fit), ``drop_path`` and ``dropout`` (stochastic depth, and
    dropout before the head, as far as the network has them), ``stem_stride`` (of the first convolution); any other is
    an argument of timm's, e.g. ``depth`` and ``embed_dim`` of a transformer.

    Raises:
        InputError: an option that the network has not, or weights that could not be had.
    """
    timm, pretrained = _timm(request.part), _pretrained(request)
    rates = {"drop_path_rate": _share(request, "drop_path"), "drop_rate": _share(request, "dropout")}
    rates = {key: rate for key, rate in rates.items() if rate}
    cfg = timm.get_pretrained_cfg(request.part)
    fixed = cfg is not None and cfg.fixed_input_size and cfg.input_size[-1] != request.image_size
    size = {"img_size": request.image_size} if fixed else {}
    others = {key: value for key, value in request.options.items() if key not in OWN_OPTIONS}
    try:
        model = timm.create_model(
            request.part, pretrained=pretrained, num_classes=request.n_classes, **size, **rates, **others
        )
    except OSError as error:
        raise _no_weights(request, error) from error
    except (RuntimeError, ValueError, TypeError, AssertionError) as error:
        unknown = next((key for key in others if f"unexpected keyword argument '{key}'" in str(error)), None)
        if unknown is not None:
            raise UnknownNameError("model option", unknown, OWN_OPTIONS, "or give an argument of timm's.") from error
        raise _not_built(request, error) from error
    return tried(_with_stem_stride(model, request), request)


def timm_spec(name: str) -> InputSpec | None:
    """Input of the published weights of a timm model; None where there are none."""
    cfg = _timm(name).get_pretrained_cfg(name)
    if cfg is None or not cfg.has_weights:
        return None
    side = int(cfg.input_size[-1])
    return InputSpec(tuple(cfg.mean), tuple(cfg.std), side, int(side / cfg.crop_pct), int(cfg.num_classes))


def _torchvision(name: str) -> Any:
    """The module torchvision.models, once it is sure that it has a classification model of that name."""
    library = _library("torchvision.models")
    known = library.list_models(module=library)
    if name not in known:
        raise UnknownNameError(
            "torchvision model",
            name,
            known,
            '`python -c "import torchvision.models as m; print(m.list_models(module=m))"`.',
        )
    return library


def torchvision_model(request: Request) -> nn.Module:
    """A classification network of torchvision; option ``pretrained`` (its newest weights, whose classes must fit)."""
    library, pretrained = _torchvision(request.part), _pretrained(request)
    extra: dict[str, Any] = {}
    if pretrained:
        spec = torchvision_spec(request.part)
        if spec is None or spec.n_classes != request.n_classes:
            have = "no weights" if spec is None else f"weights for {spec.n_classes} classes"
            raise InputError(
                f"{request.name} has {have}, asked for {request.n_classes} classes.",
                "leave out pretrained, or take a timm: model, which gets a new head.",
            )
    else:
        extra = {"num_classes": request.n_classes}
        for start, argument in SIZE_ARGUMENTS.items():
            if request.part.startswith(start):
                square = (request.image_size, request.image_size)
                extra[argument] = square if argument == "input_size" else request.image_size
        if request.part in AUXILIARY:
            extra["init_weights"] = True
    if request.part in AUXILIARY:
        extra["aux_logits"] = False
    try:
        model = library.get_model(request.part, weights="DEFAULT" if pretrained else None, **extra)
    except OSError as error:
        raise _no_weights(request, error) from error
    except (RuntimeError, ValueError, TypeError, AssertionError) as error:
        raise _not_built(request, error) from error
    return tried(model, request)


def torchvision_spec(name: str) -> InputSpec | None:
    """Input of the newest published weights of a torchvision model; None where there are none."""
    weights = _torchvision(name).get_model_weights(name).DEFAULT
    preset = weights.transforms()
    return InputSpec(
        tuple(preset.mean),
        tuple(preset.std),
        int(preset.crop_size[0]),
        int(preset.resize_size[0]),
        len(weights.meta["categories"]),
    )


TIMM = Family(
    label="timm:NAME",
    pattern=re.compile(r"timm:(.+)"),
    text="any network of timm, e.g. timm:resnet50, timm:vit_tiny_patch16_224; options pretrained, drop_path, "
    "dropout, stem_stride",
    source="timm (extra regrow[models])",
    build=timm_model,
    prefixes=("timm:NAME",),
    options=None,
    spec=timm_spec,
)

TORCHVISION = Family(
    label="torchvision:NAME",
    pattern=re.compile(r"torchvision:(.+)"),
    text="any classification network of torchvision, e.g. torchvision:resnet50; option pretrained",
    source="torchvision (extra regrow[models])",
    build=torchvision_model,
    prefixes=("torchvision:NAME",),
    options=("pretrained",),
    spec=torchvision_spec,
)
