"""Any folder of pictures with a sub-folder for each class."""

from __future__ import annotations

from regrow.data.on_disk import MEAN, PICTURES, STD, image_folder, nowhere, picture_set
from regrow.data.spec import DataSpec

SPEC = DataSpec(
    name="image_folder",
    classes=(),
    image_size=224,
    channels=3,
    mean=MEAN,
    std=STD,
    splits={},
    padding="zero",
    citation="pictures of a folder that the recipe names",
    licence="as the folder's owner says",
    hint="name the folder in the recipe: data: {name: image_folder, options: {path: FOLDER}}.",
    options={**PICTURES, "path": "", "test_share": 0.2, "train_is_test": False},
)

DATASET = picture_set(SPEC, image_folder, nowhere)
