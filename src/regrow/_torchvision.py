"""Let torchvision be imported beside a torch of another build, e.g. PyPI's CUDA build beside a CPU build of torch.

The compiled operators of such a torchvision cannot load, and its import fails at the first of them. Declaring the two
that are registered on import is enough for its Python parts, networks and transforms, which is all that is used here
and by timm; the operators themselves (non-maximum suppression) stay unusable. Where the compiled library does load,
nothing is done.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import torch

_KEPT: list[torch.library.Library] = []  # the declarations live as long as this object


def declare() -> bool:
    """Declare ``nms`` and ``qnms`` unless torchvision is absent or loads by itself; True if they were declared now."""
    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.origin is None or torch.version.cuda is not None or hasattr(torch.ops.torchvision, "nms"):
        return False
    for compiled in Path(spec.origin).parent.glob("_C*.so"):
        try:
            torch.ops.load_library(str(compiled))  # type: ignore[no-untyped-call]
        except OSError:
            continue
    if hasattr(torch.ops.torchvision, "nms"):
        return False
    library = torch.library.Library("torchvision", "DEF")  # type: ignore[no-untyped-call]
    for name in ("nms", "qnms"):
        library.define(  # type: ignore[no-untyped-call]
            f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
        )
    _KEPT.append(library)
    return True
