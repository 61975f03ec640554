"""Weights and multiply-adds of the networks beside published figures.

Writes benchmarks/results/models.json and docs/models.md. Nothing is timed: all is counted on shapes. Multiply-adds are
what most sources call FLOPs. torchvision's own figures are read from the library.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from _measure import save, show

from regrow import files, models
from regrow.sparsity.cost import flops

PAGE = Path(__file__).parents[1] / "docs" / "models.md"

#: Largest difference that counts as none; a figure of few digits must come out when rounded to them.
BAR = 0.005

_UNITS = {"": 1.0, "M": 1e6, "G": 1e9}


class Published(NamedTuple):
    """One network as published; figures as they were printed, e.g. ``"36.5M"``, empty where there is none."""

    name: str
    n_classes: int
    shape: tuple[int, ...]
    parameters: str
    macs: str
    source: str
    note: str = ""


_CIFAR, _IMAGENET = (3, 32, 32), (3, 224, 224)
_OPTION_A = "published with parameter-free shortcuts (option A); ours are 1 x 1 convolutions (option B)"
_HE = "He et al. 2015, arXiv:1512.03385, table 6"
_WRN = "Zagoruyko and Komodakis 2016, arXiv:1605.07146"
_CARDS = "model cards of timm"
_RISE = "Cao et al. 2021 (STCNet), RGB-I3D on RISE, 36 frames"

PUBLISHED = (
    Published("resnet20", 10, _CIFAR, "0.27M", "", _HE, _OPTION_A),
    Published("resnet56", 10, _CIFAR, "0.85M", "", _HE, _OPTION_A),
    Published("vgg16", 10, _CIFAR, "14728266", "", "14,715,584 weights (GraNet, VGG-16), 4,224 + 8,448 + 10 others"),
    Published("wrn-16-8", 10, _CIFAR, "11.0M", "", _WRN),
    Published("wrn-28-10", 10, _CIFAR, "36.5M", "", _WRN),
    Published("timm:deit_tiny_patch16_224", 1000, _IMAGENET, "5.7M", "1.3G", _CARDS),
    Published("timm:deit_small_patch16_224", 1000, _IMAGENET, "22.1M", "4.6G", _CARDS),
    Published("timm:deit_base_patch16_224", 1000, _IMAGENET, "86.6M", "17.6G", _CARDS),
    Published("i3d", 2, (3, 36, 224, 224), "12.3M", "62.7G", _RISE),
)

#: torchvision's network -> ours.
_OURS = {
    "resnet18": "resnet18",
    "resnet34": "resnet34",
    "resnet50": "resnet50",
    "efficientnet_b0": "timm:efficientnet_b0",
    "convnext_tiny": "timm:convnext_tiny",
    "vit_b_16": "timm:deit_base_patch16_224",
}


def of_torchvision() -> Iterator[Published]:
    """Figures that torchvision ships with its weights."""
    from torchvision import models as library

    for theirs, ours in _OURS.items():
        about = library.get_model_weights(theirs).DEFAULT.meta
        source = f"torchvision {theirs}"
        yield Published(ours, 1000, _IMAGENET, str(about["num_params"]), f"{about['_ops']}G", source)


def count(name: str, n_classes: int, shape: tuple[int, ...]) -> tuple[int, float]:
    """Parameters, and multiply-adds of one forward pass."""
    with torch.device("meta"):
        model = models.build(name, n_classes, image_size=shape[-1])
    return sum(p.numel() for p in model.parameters()), flops(model, shape)["dense"] / 2


def agrees(found: float, published: str) -> bool:
    """Whether a count is the published figure, to its digits or within the bar."""
    if not published:
        return True
    digits, unit = (published[:-1], published[-1]) if published[-1] in _UNITS else (published, "")
    decimals = len(digits.partition(".")[2])
    wanted = float(digits)
    scaled = found / _UNITS[unit]
    return abs(scaled / wanted - 1) <= BAR or round(scaled, decimals) == wanted


def rows() -> list[dict[str, Any]]:
    """What is written."""
    found = []
    for row in (*PUBLISHED, *of_torchvision()):
        parameters, macs = count(row.name, row.n_classes, row.shape)
        equal = agrees(parameters, row.parameters) and agrees(macs, row.macs)
        found.append({**row._asdict(), "counted_parameters": parameters, "counted_macs": macs, "agrees": equal})
    return found


_HEAD = (
    "# Networks and their published sizes",
    "",
    "Made by `python benchmarks/bench_models.py`. Multiply-adds are of one forward pass of one sample, as most",
    "sources count FLOPs; regrow's own cost functions count 2 operations for each. A row agrees where it is within",
    "0.5 % of the published figure or rounds to its digits. `regrow list models` names all networks.",
    "",
    "| network | classes, input | parameters | published | multiply-adds | published | agrees | source |",
    "| --- | --- | --- | --- | --- | --- | --- | --- |",
)
_TAIL = (
    "",
    "The 3D residual networks have no figure at hand for their exact stem: the blocks of `resnet3d18` are tested",
    "against torchvision's `r3d_18`, whose stem spans 3 frames in place of 7 and has no pool, and `resnet3d50` is the",
    "inflation of `resnet50`, weight for weight.",
    "",
    "## Your own",
    "",
    "A recipe takes `model: {name: my_nets:build, options: {depth: 4}}`: `build(n_classes, **options)` of",
    "`my_nets.py` in the current folder, or of an installed module; it is given `image_size` too if it takes that.",
    "It takes images (N, 3, S, S), or clips (N, 3, T, S, S), and gives logits (N, n_classes).",
    "The file is part of a run's identity: when it has changed, an unfinished study says so and does not go on with",
    "another network.",
    "",
    "Later commands on what such a study left (`check`, `evaluate`, `export`, `run`, and `report`, `verdict` and their",
    "like where runs depend on the network) do not import code because a folder names it; say that it is yours:",
    "",
    "    regrow check --model runs/mine/runs/dense-s0-seed0 --network my_nets:build --images photos",
    "",
    "## Your own checkpoint",
    "",
    "    regrow check --model my_nets:build --weights mine.pt --size 64 --images photos",
    "    regrow evaluate cifar10 --model my_nets:build --weights mine.safetensors --model-option depth=4",
    "",
    "`--weights` is a safetensors file, or what `torch.save` wrote of a state dict: alone or under `state_dict`,",
    "`model` and their like, with or without `module.` before its names. Only tensors are read: a file that needs",
    "code to be run (a whole network was saved) is refused. The number of outputs is taken from the weights.",
    "`--size` is the side of the images, `--mean` and `--std` their normalisation; without them that of the",
    "network, else of the data set, else of ImageNet, and the page says which. Class folders are matched by the",
    "classes' names where the network knows them (a run of regrow's does), by number where they are numbers, else",
    "in the order of their names. Of the folder that a run was trained on only the test part is taken. `regrow",
    "evaluate SET` takes what `regrow corrupt` has written, of images and of clips.",
)


def page(found: list[dict[str, Any]]) -> str:
    """docs/models.md."""
    lines = [*_HEAD]
    for row in found:
        size = " x ".join(str(n) for n in row["shape"])
        word = "yes" if row["agrees"] else f"no: {row['note']}"
        cells = (
            row["name"],
            f"{row['n_classes']}, {size}",
            f"{row['counted_parameters']:,}",
            row["parameters"],
            f"{row['counted_macs'] / 1e9:.4g} G",
            row["macs"] or "-",
            word,
            row["source"],
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, *_TAIL]) + "\n"


def main() -> None:
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    found = rows()
    columns = ("name", "counted_parameters", "parameters", "counted_macs", "macs", "agrees")
    show([columns, *([str(row[key]) for key in columns] for row in found)])
    files.write_text(PAGE, page(found))
    save("models", "Are weights and multiply-adds those of the published networks?", {"bar": BAR, "rows": found})


if __name__ == "__main__":
    main()
