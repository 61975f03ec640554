"""Any folders of videos with a sub-folder for each class, or with a class of its own for each video."""

from __future__ import annotations

from regrow.data.on_disk import CLIPS, MEAN, STD, clip_set, nowhere, video_folder
from regrow.data.spec import DataSpec

SPEC = DataSpec(
    name="video_folder",
    classes=(),
    image_size=224,
    channels=3,
    mean=MEAN,
    std=STD,
    splits={},
    padding="zero",
    citation="videos of folders that the recipe names",
    licence="as the folders' owners say",
    hint="name the folders in the recipe: data: {name: video_folder, options: {paths: [FOLDER]}}.",
    options={**CLIPS, "paths": [], "class_by": "folder", "test_share": 0.2, "train_is_test": False},
    frames=32,
)

DATASET = clip_set(SPEC, video_folder, nowhere)
