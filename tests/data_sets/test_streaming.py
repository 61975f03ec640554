"""Input from files: a batch is a function of (seed, step), whoever makes it; an error of a worker is one line."""

from __future__ import annotations

import os
import pickle
import signal
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from regrow import clips, data, errors
from regrow.data import bare, geometry, pictures
from regrow.data.augmentation import Augmentation, AugMix, GaussianNoise, augment, words
from regrow.data.augmentation.tensors import Mixing
from regrow.data.batches import Finish, window_words
from regrow.data.fileset import FileSet
from regrow.data.geometry import Draws, Geometry
from regrow.data.streaming import StreamedBatches, in_test_order
from regrow.errors import DataError, InputError, RegrowError, UnknownNameError

SIDE = 24


def moving(seed: int, n: int = 24, size: tuple[int, int] = (80, 64)) -> np.ndarray:
    """Frames that slide over a coarse picture: all differ, and code well."""
    width, height = size
    coarse = np.random.RandomState(seed).randint(0, 256, (6, 12, 3)).astype(np.uint8)
    still = np.asarray(Image.fromarray(coarse).resize((width + 2 * n, height), Image.Resampling.BICUBIC))
    return np.stack([still[:, 2 * t : 2 * t + width] for t in range(n)])


def video(path: Path, frames: np.ndarray, container: str = "mp4", **options: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(clips.encode(clips.frames_of(frames), Fraction(25), "libx264", options, container=container))
    return path


@pytest.fixture(scope="session")
def photos(save: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> FileSet:
    folder = tmp_path_factory.mktemp("photos")
    for k in range(10):
        save(folder / f"class{k % 2}" / f"{k}.jpg", k, (90 + 20 * k, 130))
    return data.load("image_folder", "train", options={"path": str(folder), "size": SIDE, "train_is_test": True})


@pytest.fixture(scope="session")
def videos(tmp_path_factory: pytest.TempPathFactory) -> FileSet:
    pytest.importorskip("av")
    folder = tmp_path_factory.mktemp("videos")
    for k in range(4):
        suffix, container = (".mp4", "mp4") if k % 2 else (".avi", "avi")
        video(folder / f"class{k % 2}" / f"{k}{suffix}", moving(k), container, g="8", bf="0" if k < 2 else "2")
    options = {"paths": [str(folder)], "size": SIDE, "train_is_test": True, "frames": 4, "sampling": "window"}
    return data.load("video_folder", "train", options=options)


@pytest.fixture(params=["photos", "videos"])
def examples(request: pytest.FixtureRequest) -> FileSet:
    return request.getfixturevalue(request.param)


def how(examples: FileSet) -> Geometry:
    """All that such examples may have."""
    if examples.spec.frames:
        return Geometry(flip=True, crop=2, scale_jitter=(26, 40))
    return Geometry(flip=True, crop=2, resized_crop=(0.1, 1.0))


def made(examples: FileSet, workers: int, augmentation: Augmentation | None = None, **more: Any) -> StreamedBatches:
    given = {"how": how(examples), "augmentation": augmentation, "seed": 3, "workers": workers, **more}
    return StreamedBatches(examples, 4, **given)


AUGMENTED = {
    "plain": Augmentation(),
    "noise": Augmentation(noise=GaussianNoise(0.1)),
    "two views": Augmentation(noise=GaussianNoise(0.1), views=2),
    "augmix": Augmentation(augmix=AugMix(), views=3, clean_first=True),
}


@pytest.mark.parametrize("name", AUGMENTED)
def test_batches_are_those_of_single_examples_for_any_number_of_workers(
    examples: FileSet, name: str, request: pytest.FixtureRequest
) -> None:
    if name == "augmix":
        request.getfixturevalue("libraries")
    augmentation, finish = AUGMENTED[name], Finish(erasing=0.0, mixing=Mixing(mixup=0.4))
    all_made = [made(examples, workers, augmentation, finish=finish) for workers in (0, 1, 2)]
    for step in range(2 * all_made[0].steps_per_epoch + 1):  # over the ends of epochs
        first, *others = [batches.batch(step) for batches in all_made]
        for other in others:
            assert torch.equal(first[0], other[0])
            assert torch.equal(first[1], other[1])
    plain = made(examples, 0, augmentation)
    x, y = plain.batch(step)
    places, mean, std = plain.indices(step), np.array(examples.spec.mean), np.array(examples.spec.std)
    assert y.tolist() == examples.labels[places].tolist()
    for view in range(augmentation.views):
        for j, place in enumerate(places):
            word = int(window_words(3, step, 4, augmentation, view)[j])
            image = examples.source.in_training(int(examples.index[place]), how(examples), word)
            own = words(3, step, 4)[j : j + 1]
            image = augment(image[None], own, augmentation, view)[0] if augmentation.changes else image
            expected = np.moveaxis((image / 255 - mean) / std, -1, 0)
            np.testing.assert_allclose(x[4 * view + j].numpy(), expected, atol=1e-5)


def test_any_step_can_follow_any_other(examples: FileSet) -> None:
    ahead, alone = made(examples, 2), made(examples, 0)
    for step in (0, 1, 7, 8, 2, 2, 3):
        assert torch.equal(ahead.batch(step)[0], alone.batch(step)[0])


def test_test_order_is_the_same_for_any_number_of_workers(examples: FileSet) -> None:
    whole = examples.images[0 : len(examples)]
    for workers in (0, 1, 2):
        assert np.array_equal(torch.cat(list(in_test_order(examples, 3, workers))).numpy(), whole)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_broken_file_is_one_line_with_its_name(photos: FileSet, tmp_path: Path, workers: int) -> None:
    root = photos.source.listing.root
    for file in root.rglob("*.jpg"):
        target = tmp_path / file.relative_to(root)
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(file.read_bytes())
    there = replace(photos, source=replace(photos.source, listing=replace(photos.source.listing, root=tmp_path)))
    batches = made(there, workers)
    broken = there.source.listing.place(int(batches.indices(1)[2]))
    content = broken.read_bytes()
    broken.write_bytes(content[:100])
    batches.batch(0)
    for _ in range(2):  # asked for again, it is told again
        with pytest.raises(DataError) as caught:
            batches.batch(1)
        text = str(caught.value)
        assert broken.name in text
        assert "Next: " in text
        assert "\n" not in text
        assert "Traceback" not in text
        assert caught.value.exit_code == 2
    broken.write_bytes(content)
    assert torch.equal(batches.batch(1)[0], made(there, 0).batch(1)[0])


@dataclass(frozen=True)
class Deadly:
    """A source that kills the process which asks it for a training example."""

    listing: Any

    def in_training(self, *_: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_killed_worker_is_one_line(photos: FileSet) -> None:
    batches = made(replace(photos, source=Deadly(photos.source.listing)), 1)
    with pytest.raises(RegrowError, match=r"killed.*Next: lower data\.workers"):
        batches.batch(0)


@pytest.mark.parametrize(
    "error",
    [
        RegrowError("it failed.", "try again."),
        DataError("no file."),
        InputError("wrong.", "right."),
        UnknownNameError("model", "resnt8", ["resnet8"]),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_come_whole_from_other_processes(error: RegrowError) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert (str(again), again.message, again.next_step) == (str(error), error.message, error.next_step)
    assert isinstance(again, errors.RegrowError)


@pytest.mark.parametrize("size", [(90, 60), (60, 90), (33, 200), (24, 24), (500, 375), (27, 27)])
@pytest.mark.parametrize("side", [24, 112, 299])
def test_the_middle_resized_alone_is_that_of_the_whole(size: tuple[int, int], side: int) -> None:
    width, height = size
    coarse = np.random.RandomState(1).randint(0, 256, (9, 12, 3)).astype(np.uint8)
    picture = Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)
    box = geometry.middle(width, height, side)
    assert 0 <= box[0] < box[2] <= width
    assert 0 <= box[1] < box[3] <= height
    alone = np.asarray(picture.resize((side, side), Image.Resampling.BILINEAR, box=box)).astype(int)
    whole = np.asarray(pictures.prepare(picture, side)).astype(int)
    edge = 299 // min(width, height) + 1 if side == 299 else 0  # there pixels around the cut have a part
    assert np.abs(alone - whole)[edge : side - edge, edge : side - edge].max() <= 1


@pytest.mark.parametrize("shape", [(5, 7, 3), (2, 5, 7, 3)])
def test_mirrored_turns_columns_round(shape: tuple[int, ...]) -> None:
    images = np.random.RandomState(0).randint(0, 256, shape).astype(np.uint8)
    found = [geometry.mirrored(images, Draws(word)) for word in range(20)]
    turned = [np.array_equal(one, np.flip(images, -2)) for one in found]
    assert any(turned)
    assert all(turn or np.array_equal(one, images) for turn, one in zip(turned, found, strict=True))


@pytest.mark.parametrize("options", [{"bf": "0", "g": "6"}, {"bf": "2", "g": "6"}, {"bf": "0", "g": "250"}], ids=str)
def test_frames_of_avi_files_are_those_of_the_whole(tmp_path: Path, options: dict[str, str]) -> None:
    pytest.importorskip("av")
    path = video(tmp_path / "one.avi", moving(5), "avi", **options)
    whole = clips.read(path).frames
    assert clips.count(path) == len(whole)
    for numbers in (*([n] for n in range(len(whole))), [3, 4, 5, 20], [len(whole) - 1, 2]):
        assert np.array_equal(clips.frames_at(path, numbers), whole[numbers])


def test_an_avi_file_without_reordering_is_decoded_from_a_key_frame(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("av")
    path = video(tmp_path / "one.avi", moving(5), "avi", bf="0", g="6", sc_threshold="0")
    clips.count(path)
    seen, decoded = [], clips.decoded

    def counting(*given: Any, **more: Any) -> Any:
        for frame in decoded(*given, **more):
            seen.append(frame)
            yield frame

    monkeypatch.setattr(clips, "decoded", counting)
    clips.frames_at(path, [20])
    assert 1 <= len(seen) <= 6


@pytest.mark.data
def test_frames_of_real_videos_are_those_of_the_whole(data_root: Path) -> None:
    pytest.importorskip("av")
    paths = sorted(path for name in ("ucf101", "video") for path in (data_root / name).rglob("*.avi"))
    if not paths:
        pytest.skip("there are no AVI files of UCF101 or HMDB51")
    for path in paths:
        whole = clips.read(path).frames
        for n in range(0, len(whole), 11):
            assert np.array_equal(clips.frames_at(path, [n]), whole[[n]])


def test_bare_decoding_gives_the_pixels_that_training_cuts_out(examples: FileSet) -> None:
    plain = replace(how(examples), flip=False, crop=0)
    for chosen in (plain, Geometry()):
        places, drawn = np.arange(len(examples)), window_words(1, 0, len(examples), Augmentation(), 0)
        expected = examples.training(places, chosen, drawn)
        found = [cut() for cut in bare.bare_cuts(examples, chosen, places, drawn)]
        assert np.abs(np.stack(found).astype(int) - expected).max() <= (
            0 if chosen == plain or expected.ndim == 5 else 1
        )


def test_bare_decoding_has_a_rate_in_one_process_and_in_two(examples: FileSet) -> None:
    cuts = bare.bare_cuts(examples, Geometry(), [0, 1, 2], np.arange(3, dtype=np.uint64))
    assert bare.decode_rate(cuts, 1) > 0
    assert bare.decode_rate(cuts, 2) > 0
