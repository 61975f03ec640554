"""Any data set of pictures of Hugging Face's library ``datasets`` on disk: ``save_to_disk``, or parquet files."""

from __future__ import annotations

from regrow.data.on_disk import MEAN, PICTURES, STD, nowhere, picture_set, table
from regrow.data.spec import DataSpec

SPEC = DataSpec(
    name="huggingface",
    classes=(),
    image_size=224,
    channels=3,
    mean=MEAN,
    std=STD,
    splits={},
    padding="zero",
    citation="a data set of Hugging Face that the recipe names",
    licence="as the data set's card says",
    hint="name the folder in the recipe: data: {name: huggingface, options: {path: FOLDER}}.",
    options={
        **PICTURES,
        "path": "",
        "image": "",
        "label": "",
        "train_split": "train",
        "test_split": "test",
        "test_share": 0.2,
        "train_is_test": False,
    },
)

DATASET = picture_set(SPEC, table, nowhere)
