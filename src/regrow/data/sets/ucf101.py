"""UCF101: 13,320 videos of 101 human actions (https://www.crcv.ucf.edu/data/UCF101.php)."""

from __future__ import annotations

import functools

from regrow.data.on_disk import CLIPS, MEAN, STD, UNNAMED, clip_set, find_ucf101, ucf101
from regrow.data.spec import DataSpec

SPEC = DataSpec(
    name="ucf101",
    classes=tuple(map(UNNAMED.format, range(101))),  # until the lists say their names
    image_size=224,
    channels=3,
    mean=MEAN,
    std=STD,
    splits={"train": 9537, "test": 3783},
    padding="zero",
    citation="Soomro, Zamir and Shah, UCF101, 2012, arXiv:1212.0402",
    licence="videos of YouTube, for research; not downloaded by regrow",
    hint=(
        "unpack UCF101.rar and UCF101TrainTestSplits-RecognitionTask.zip into ucf101/UCF-101 and "
        "ucf101/ucfTrainTestlist under a data root (--data-root, REGROW_DATA or ~/.cache/regrow/data)."
    ),
    options={**CLIPS, "split": 1, "partial": False},
    frames=32,
)

DATASET = clip_set(SPEC, functools.partial(ucf101, SPEC), find_ucf101)
