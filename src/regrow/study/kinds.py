"""What differs between studies of images, clips, texts and sounds: the corruptions there are, how a cell is made."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np
import numpy.typing as npt

from regrow import corruptions
from regrow.clips import Clip
from regrow.corruptions import audio, stand_ins, video
from regrow.corruptions import text as text_corruptions
from regrow.data.fileset import ClipSource, FileSet
from regrow.data.spec import DataSpec, Images
from regrow.errors import InputError, RegrowError
from regrow.study.recipe import EvaluationSettings

#: Names in a recipe's list of corruptions that stand for several.
GROUPS: dict[str, Callable[[], list[str]]] = {
    "common": corruptions.common_names,
    "imagenet-c": corruptions.names,
    "imagenet-c-bar": lambda: _c_bar_of("imagenet"),
    "cifar10-c-bar": lambda: _c_bar_of("cifar"),
    "imagenet-3dcc": lambda: corruptions.names("3dcc"),
}


def _without_stand_ins(chosen: EvaluationSettings, names: Sequence[str]) -> list[str]:
    return [name for name in names if name not in chosen.stand_ins]


SEVERITIES = [1, 2, 3, 4, 5]


#: The twelve types of Yi et al. 2021 (arXiv:2110.06513); their code makes two more.
_KINETICS_C = [
    "shot_noise",
    "motion_blur",
    "rain",
    "contrast",
    "brightness",
    "saturate",
    "fog",
    "bit_error",
    "packet_loss",
    "h265_crf",
    "h264_crf",
    "frame_rate",
]


def _c_bar() -> list[list[str]]:
    """All types, and those that were published for each size of images."""
    names = corruptions.names("c-bar")
    columns = sorted({column for name in names for column in corruptions.get(name).settings})
    return [names, *(_c_bar_of(column) for column in columns)]


def _c_bar_of(column: str) -> list[str]:
    return [name for name in corruptions.names("c-bar") if column in corruptions.get(name).settings]


def _3dcc() -> list[list[str]]:
    """The twelve types of RobustBench, and the eleven that others report, without h265_crf."""
    names = sorted([*corruptions.names("3dcc"), *stand_ins.NAMES])
    return [names, [name for name in names if name != "h265_crf"]]


def _whole(forms: Sequence[Sequence[str]], names: Sequence[str]) -> list[str]:
    """The largest of a set's forms that is wholly among the names; where none is, the first, which is all of it."""
    there = sorted((form for form in forms if set(form) <= set(names)), key=len)
    return list(there[-1] if there else forms[0])


def _has(name: str, severity: int, column: str) -> bool:
    try:
        video.setting_of(name, severity, column)
    except RegrowError:
        return False
    return True


class Kind(Protocol):
    """The corruptions of a kind of data, as a study asks for them."""

    def names(self, chosen: EvaluationSettings) -> list[str]:
        """Those of a recipe, or all of the default set; unknown names are refused."""
        ...

    def families(self, chosen: EvaluationSettings) -> dict[str, str]:
        """Corruption -> its family."""
        ...

    def mean_over(self, chosen: EvaluationSettings, names: Sequence[str]) -> tuple[list[str], str]:
        """Which of the evaluated corruptions the mean of a study is taken over, and what they are called together."""
        ...

    def registered(self, chosen: EvaluationSettings) -> tuple[list[str], list[int]]:
        """Types and severities of the whole set that a recipe draws on: what a claim on a mean over it must have."""
        ...

    def notes(self, chosen: EvaluationSettings, side: int, frost: Path | None) -> list[str]:
        """What must be said wherever numbers from these corruptions appear, each once."""
        ...


class ImageKind:
    """Studies of images."""

    def names(self, chosen: EvaluationSettings) -> list[str]:
        """Those of a recipe, a group's name standing for all of it; or the nineteen of ImageNet-C."""
        names: list[str] = []
        for name in chosen.corruptions or corruptions.names():
            names += GROUPS[name]() if name in GROUPS else [corruptions.get(name).name]
        return list(dict.fromkeys(names))

    def families(self, chosen: EvaluationSettings) -> dict[str, str]:
        """Corruption -> its family."""
        return {name: corruptions.get(name).family for name in self.names(chosen)}

    def mean_over(self, chosen: EvaluationSettings, names: Sequence[str]) -> tuple[list[str], str]:
        """The common types of ImageNet-C, where there are any; else all that are no stand-ins."""
        common = [name for name in names if name in corruptions.common_names()]
        if common:
            return common, "of the fifteen common types of ImageNet-C"
        return _without_stand_ins(chosen, names), "of the types that were evaluated"

    def registered(self, chosen: EvaluationSettings) -> tuple[list[str], list[int]]:
        """The fifteen common types where one is among the recipe's, else the C-bar or 3DCC set; all severities."""
        published = chosen.published.corruptions if chosen.published else []
        names = [*self.names(chosen), *published, *chosen.stand_ins]
        benchmarks: list[list[list[str]]] = [[corruptions.common_names()], _c_bar(), _3dcc()]
        drawn_on = next((forms for forms in benchmarks if set(forms[0]) & set(names)), [names])
        return _whole(drawn_on, names), SEVERITIES

    def notes(self, chosen: EvaluationSettings, side: int, frost: Path | None) -> list[str]:
        """What must be said of them."""
        return cell_notes(self.names(chosen), side, chosen.mode, stored=chosen.stored, frost=frost)


class ClipKind:
    """Studies of clips."""

    def names(self, chosen: EvaluationSettings) -> list[str]:
        """Those of a recipe, or all of its column."""
        names = chosen.corruptions or video.names(chosen.column)
        for name in names:
            for severity in chosen.severities:
                video.setting_of(name, severity, chosen.column)
        return list(names)

    def families(self, chosen: EvaluationSettings) -> dict[str, str]:
        """Corruption -> its family."""
        return {name: video.get(name, chosen.column).family for name in self.names(chosen)}

    def mean_over(self, chosen: EvaluationSettings, names: Sequence[str]) -> tuple[list[str], str]:
        """All of them."""
        return _without_stand_ins(chosen, names), f"of the types of {video.COLUMNS[chosen.column].split(',')[0]}"

    def registered(self, chosen: EvaluationSettings) -> tuple[list[str], list[int]]:
        """All types of the column, or of Kinetics-C those of its paper alone, at all the severities that there are."""
        forms = [video.names(chosen.column), *([_KINETICS_C] if chosen.column == "kinetics" else [])]
        names = _whole(forms, self.names(chosen))
        return names, [s for s in SEVERITIES if all(_has(name, s, chosen.column) for name in names)]

    def notes(self, chosen: EvaluationSettings, side: int, frost: Path | None) -> list[str]:
        """What must be said of them."""
        if chosen.mode != "exact":
            raise InputError("clips are corrupted in exact mode alone.", "leave evaluation.mode out.")
        notes: dict[str, None] = {}
        for name in self.names(chosen):
            for kind, text in video.provenance(name, side, column=chosen.column, frost=frost).items():
                notes[text if kind in ("scale", "settings") else f"{name}: {text}"] = None
        notes["corruptions work on the frames that are used of a video, before clips are cut from it"] = None
        if chosen.stored:
            notes["frames went through the JPEG round trip (quality 80) of the published sets"] = None
        return list(notes)


class Room(Protocol):
    """A package of corruptions of texts or of sounds."""

    NOTE: str

    def names(self) -> list[str]:
        """All of them."""
        ...

    def get(self, name: str) -> object:
        """The record of one; unknown names are refused."""
        ...

    def families(self) -> dict[str, str]:
        """Corruption -> its family."""
        ...

    def corrupt(self, examples: Any, name: str, severity: int, *, seed: int = 0) -> Any:
        """Corrupted examples, by their numbers 0, 1, 2, ..."""
        ...


#: Modality -> its corruptions.
ROOMS: Mapping[str, Room] = {"text": cast(Room, text_corruptions), "audio": cast(Room, audio)}


@dataclass(frozen=True)
class SequenceKind:
    """Studies of texts or of sounds.

    Attributes:
        spec: facts of the data set.
    """

    spec: DataSpec

    @property
    def room(self) -> Room:
        """The corruptions of the modality."""
        return ROOMS[self.spec.modality]

    def names(self, chosen: EvaluationSettings) -> list[str]:
        """Those of a recipe, or all; settings that are of images are refused."""
        of_images = {"mode": chosen.mode != "exact", "on_the_fly": chosen.on_the_fly, "stored": chosen.stored}
        if wrong := next((key for key, is_set in of_images.items() if is_set), None):
            raise InputError(
                f"evaluation.{wrong} is of images, {self.spec.name} holds {self.spec.noun}.", "leave it out."
            )
        for name in chosen.corruptions:
            self.room.get(name)
        return list(dict.fromkeys(chosen.corruptions or self.room.names()))

    def families(self, chosen: EvaluationSettings) -> dict[str, str]:
        """Corruption -> its family."""
        return {name: self.room.families()[name] for name in self.names(chosen)}

    def mean_over(self, chosen: EvaluationSettings, names: Sequence[str]) -> tuple[list[str], str]:
        """All of them."""
        return list(names), f"of the types of corruption of {self.spec.noun}"

    def registered(self, chosen: EvaluationSettings) -> tuple[list[str], list[int]]:
        """All that there are."""
        return self.room.names(), SEVERITIES

    def notes(self, chosen: EvaluationSettings, side: int, frost: Path | None) -> list[str]:
        """Where they come from."""
        return [self.room.NOTE]


def kind_of(spec: DataSpec) -> Kind:
    """The corruptions of a data set's kind."""
    if spec.modality != "image":
        return SequenceKind(spec)
    return ImageKind() if spec.frames is None else ClipKind()


def corrupted(
    examples: npt.NDArray[Any], spec: DataSpec, name: str, severity: int, options: Mapping[str, Any]
) -> npt.NDArray[Any]:
    """A cell of images, texts or sounds that lie in an array.

    Args:
        examples: the clean ones.
        spec: says what they are.
        name: the corruption.
        severity: 1 to 5.
        options: of ``corruptions.corrupt_set``; of texts and sounds the seed alone counts.
    """
    if spec.modality != "image":
        made: npt.NDArray[Any] = ROOMS[spec.modality].corrupt(examples, name, severity, seed=options["seed"])
        return made
    return corruptions.corrupt_set(examples, name, severity, **options)


def cell_notes(
    names: Sequence[str], side: int, mode: str = "exact", *, stored: bool = False, frost: Path | None = None
) -> list[str]:
    """What must be said wherever numbers from these corruptions appear, each once; arguments as of ``corrupt``."""
    notes: dict[str, None] = {}
    for name in names:
        for kind, text in corruptions.provenance(name, side, mode=mode, frost=frost).items():
            notes[text if kind == "scale" else f"{name}: {text}"] = None
    if stored:
        notes["every corrupted image went through the JPEG round trip (quality 85) of ImageNet-C's files"] = None
    return list(notes)


@dataclass(frozen=True)
class CorruptedClips:
    """Clips of one cell, made when slices of them are asked for.

    Attributes:
        examples: the test clips.
        change: ``(clip, its number) -> clip``.
    """

    examples: FileSet
    change: Callable[[Clip, int], Clip]

    def __len__(self) -> int:
        """How many videos."""
        return len(self.examples)

    def __getitem__(self, part: slice, /) -> Images:
        """The clips that are tested of some videos, uint8 (n, views, T, side, side, 3)."""
        source = self.examples.source
        assert isinstance(source, ClipSource)
        numbers = range(*part.indices(len(self)))
        return np.stack(
            [source.views(self.change(source.clip(int(self.examples.index[n])), n).frames) for n in numbers]
        )


def clip_change(name: str, severity: int, options: Mapping[str, Any]) -> Callable[[Clip, int], Clip]:
    """A corruption of clips by their numbers; severity 0 leaves them as they are."""
    if not severity:
        return lambda clip, number: clip

    def change(clip: Clip, number: int) -> Clip:
        return video.corrupt_clip(clip, name, severity, index=number, **options)

    return change
