"""ImageNet (ILSVRC2012): 1,281,167 training and 50,000 validation photographs of 1,000 classes."""

from __future__ import annotations

from regrow.data import imagenet
from regrow.data.on_disk import MEAN, PICTURES, STD, UNNAMED, imagenet_parts, picture_set
from regrow.data.spec import DataSpec

SPEC = DataSpec(
    name="imagenet",
    classes=tuple(map(UNNAMED.format, range(1000))),  # until the files say their wnids
    image_size=224,
    channels=3,
    mean=MEAN,
    std=STD,
    splits={"train": 1_281_167, "test": 50_000},
    padding="zero",
    citation="Russakovsky et al., ImageNet Large Scale Visual Recognition Challenge, 2015, arXiv:1409.0575",
    licence="non-commercial research; not downloaded by regrow",
    hint=imagenet.HINT,
    options={**PICTURES, "path": "", "train_is_test": False},
)

DATASET = picture_set(SPEC, imagenet_parts, imagenet.find)
