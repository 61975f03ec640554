"""Images and clips that stay in files: what a place gives at test and in training, and batches of them."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from regrow import clips, data, seeds
from regrow.data import pictures
from regrow.data.augmentation import Augmentation, GaussianNoise
from regrow.data.batches import Batches, Finish, eval_batches, normalise
from regrow.data.clips import prepare
from regrow.data.fileset import ClipSource, FileSet, clip_source
from regrow.data.geometry import Draws, Geometry, enough_for, mirrored, padded_window, resized_crop
from regrow.data.streaming import StreamedBatches, in_test_order
from regrow.errors import DataError, InputError

pytest.importorskip("av", reason="PyAV is not installed (extra regrow[video])")

WORDS = seeds.raw(3, "data", 0, n=60)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, save: Callable[..., Path], shoot: Callable[..., Path]) -> Path:
    """Seven pictures and five videos of two classes, of many sizes and lengths."""
    folder = tmp_path_factory.mktemp("files")
    for i in range(7):
        save(folder / f"pictures/{'ab'[i % 2]}/{i}.jpg", i, (60 + 31 * i, 140 - 12 * i))
    for i in range(5):
        shoot(folder / f"videos/{'ab'[i % 2]}/{i}.mp4", 14 + 3 * i, i, height=40 + 8 * i, width=72)
    return folder


@pytest.fixture
def images(root: Path) -> FileSet:
    options = {"path": "pictures", "size": 32, "train_is_test": True}
    found = data.load("image_folder", "train", root=root, options=options)
    assert isinstance(found, FileSet)
    return found


@pytest.fixture
def videos(root: Path) -> Callable[..., FileSet]:
    def load(split: str = "train", **options: object) -> FileSet:
        given = {"paths": ["videos"], "size": 28, "frames": 4, "train_is_test": True, **options}
        found = data.load("video_folder", split, root=root, options=given)
        assert isinstance(found, FileSet)
        return found

    return load


def test_pictures_are_tested_as_they_are_prepared(images: FileSet) -> None:
    listing = images.source.listing
    slow = [np.asarray(pictures.prepare(pictures.open_picture(listing.place(i)), 32)) for i in range(7)]
    np.testing.assert_array_equal(images.images[0:7], np.stack(slow))
    np.testing.assert_array_equal(images.images[2:4], np.stack(slow[2:4]))
    assert (len(images), len(images.images)) == (7, 7)
    assert images.labels.tolist() == [0, 0, 0, 0, 1, 1, 1]
    assert clip_source(images) is None


def test_chosen_examples_are_those_at_their_places(images: FileSet) -> None:
    which = np.array([5, 0, 3])
    some = images.select(which)
    np.testing.assert_array_equal(some.images[0:3], images.images[0:7][which])
    assert some.labels.tolist() == images.labels[which].tolist()
    assert len(some) == 3
    np.testing.assert_array_equal(some.select(slice(1, 3)).images[0:2], images.images[0:7][which[1:]])
    how = Geometry(flip=True, resized_crop=(0.2, 0.9))
    np.testing.assert_array_equal(
        some.training([2, 1], how, WORDS[:2]), images.training(which[[2, 1]].tolist(), how, WORDS[:2])
    )


def test_the_digest_sees_files_classes_and_facts_and_nothing_else(images: FileSet) -> None:
    again = pickle.loads(pickle.dumps(images))
    assert again.digest == images.digest
    others = [
        images.select(slice(0, 6)),
        images.select(np.arange(7)[::-1]),
        replace(images, labels=1 - images.labels),
        replace(images, spec=replace(images.spec, mean=(0.0, 0.0, 0.0))),
    ]
    assert len({images.digest, *(other.digest for other in others)}) == 5


def test_a_training_picture_is_its_window_resized_then_cut_then_mirrored(images: FileSet) -> None:
    how = Geometry(flip=True, crop=3, resized_crop=(0.1, 1.0))
    for i, word in enumerate(WORDS[:14].tolist()):
        draws = Draws(word)
        share = draws.between(0.1, 1.0)
        picture = pictures.open_picture(images.source.listing.place(i % 7), enough_for(share, 32))
        box = resized_crop(*picture.size, share, draws)
        window = np.asarray(picture.resize((32, 32), Image.Resampling.BILINEAR, box=box))
        expected = mirrored(padded_window(window, 3, draws), draws)
        np.testing.assert_array_equal(images.training([i % 7], how, np.array([word], np.uint64))[0], expected)


def test_training_is_a_function_of_place_and_word(images: FileSet, videos: Callable[..., FileSet]) -> None:
    for examples, how in (
        (images, Geometry(flip=True, crop=2, resized_crop=(0.1, 1.0))),
        (videos(), Geometry(flip=True, crop=2, scale_jitter=(28, 40))),
        (videos(sampling="window", stride=2, held=32), Geometry(flip=True, scale_jitter=(28, 40))),
    ):
        whole = examples.training([3, 1, 3, 1], how, WORDS[[0, 1, 2, 3]])
        for at, (place, word) in enumerate(zip([3, 1, 3, 1], WORDS[:4], strict=True)):
            alone = pickle.loads(pickle.dumps(examples)).training([place], how, np.array([word]))
            np.testing.assert_array_equal(alone[0], whole[at])
        assert not np.array_equal(whole[0], whole[2])  # another word
        plain = examples.training([3, 3], Geometry(), WORDS[:2])
        if clip_source(examples) is None:
            np.testing.assert_array_equal(plain, np.stack([examples.images[3:4][0]] * 2))


def test_clips_are_tested_on_prepared_frames(videos: Callable[..., FileSet]) -> None:
    examples = videos("test", views=3, sampling="window", stride=2)
    source = clip_source(examples)
    assert source is not None
    found = examples.images[0:5]
    assert found.shape == (5, 3, 4, 28, 28, 3)
    for i in range(5):
        whole = prepare(clips.read(source.listing.place(i)), 28).frames
        np.testing.assert_array_equal(found[i], whole[source.sampling.at_test(len(whole))])


def test_training_clips_are_frames_of_the_video(videos: Callable[..., FileSet]) -> None:
    examples = videos("train", train_part=[0.25, 0.8], sampling="window")
    source = clip_source(examples)
    assert source is not None
    for i in range(5):
        whole = prepare(clips.read(source.listing.place(i)), 28).frames
        first, last = int(0.25 * len(whole)), int(0.8 * len(whole))
        starts = set()
        for word in WORDS:
            clip = examples.training([i], Geometry(), np.array([word]))[0]
            numbers = first + source.sampling.in_training(last - first, Draws(int(word)))
            off = np.abs(clip.astype(int) - whole[numbers])  # cut and resized at once: within one level
            assert off.max() <= 1
            assert (off > 0).mean() < 0.02
            starts.add(int(numbers[0]))
        assert min(starts) == first
        assert max(starts) == last - 4


def test_frames_held_in_memory_are_the_frames_that_are_read(videos: Callable[..., FileSet]) -> None:
    """At the size that frames are prepared at, the pixels too, but for roundings of one level."""
    read, held = videos(), videos(held=32)  # 28 * 256 / 224
    for i in range(5):
        for how in (Geometry(), Geometry(flip=True, crop=2)):
            pair = [one.training([i], how, WORDS[i : i + 1]).astype(int) for one in (held, read)]
            off = np.abs(pair[0] - pair[1])
            assert off.max() <= 1
            assert (off > 0).mean() < 0.02
    jittered = Geometry(scale_jitter=(28, 60))
    close = held.training([2], jittered, WORDS[:1]).astype(int) - read.training([2], jittered, WORDS[:1])
    assert np.abs(close).mean() < 8  # the same window of the same frames, once made smaller


def test_all_frames_of_a_clip_are_cut_alike(root: Path, tmp_path: Path, coded: Callable[..., bytes]) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8).repeat(8, 0).repeat(8, 1)
    for name in ("a/1.mkv", "b/2.mkv"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(coded(np.stack([picture] * 6), "matroska", "ffv1"))
    options = {"paths": [str(tmp_path)], "size": 24, "frames": 3, "train_is_test": True}
    examples = data.load("video_folder", "train", options=options)
    assert isinstance(examples, FileSet)
    for word in WORDS:
        clip = examples.training([0], Geometry(True, 4, scale_jitter=(24, 60)), np.array([word]))[0]
        np.testing.assert_array_equal(clip[1:], clip[:-1])


def test_scale_jitter_reaches_both_sizes_and_never_less_than_the_side(videos: Callable[..., FileSet]) -> None:
    seen = {28 + Draws(int(word)).below(5) for word in WORDS}
    assert seen == {28, 29, 30, 31, 32}
    examples = videos(size=40)
    assert examples.training([0], Geometry(scale_jitter=(1, 2)), WORDS[:1]).shape == (1, 4, 40, 40, 3)


def test_a_video_that_is_too_short_is_named(videos: Callable[..., FileSet]) -> None:
    examples = videos(frames=8, sampling="window", stride=2, train_part=[0.0, 0.9])
    for read in (lambda: examples.images[0:1], lambda: examples.training([0], Geometry(), WORDS[:1])):
        with pytest.raises(DataError, match=r"a/0.mp4 has 14 frames, of which 1[24] are used; a clip needs 15"):
            read()


def test_clips_are_normalised_frame_by_frame(videos: Callable[..., FileSet]) -> None:
    examples = videos(views=2)
    stored = torch.from_numpy(examples.images[0:3])
    whole = torch.cat(list(eval_batches(examples.images, examples.spec, batch=2)))
    assert whole.shape == (6 + 4, 3, 4, 28, 28)
    for row, clip in zip(whole, stored.flatten(0, 1), strict=False):
        for t in range(4):
            assert torch.equal(row[:, t], normalise(clip[t][None], examples.spec)[0])
    assert torch.equal(normalise(stored[0], examples.spec, channels_last=True), whole[:2])


@pytest.mark.parametrize("repeats", [1, 2])
def test_batches_are_those_of_arrays(images: FileSet, repeats: int) -> None:
    """Without crops the same bits: order, words and what is done on the device."""
    parts = {"augmentation": Augmentation(noise=GaussianNoise(0.1), views=2), "repeats": repeats}
    array = Batches(images.images[0:7], images.labels, 3, images.spec, seed=5, erasing=0.5, **parts)
    streamed = StreamedBatches(images, 3, how=Geometry(), seed=5, finish=Finish(False, 0.5), workers=0, **parts)
    assert streamed.steps_per_epoch == array.steps_per_epoch == 2
    for step in (0, 1, 2, 3, 7, 4):
        np.testing.assert_array_equal(streamed.indices(step), array.indices(step))
        for ours, theirs in zip(streamed.batch(step), array.batch(step), strict=True):
            assert torch.equal(ours, theirs)


def test_clips_come_in_the_order_of_arrays(videos: Callable[..., FileSet]) -> None:
    examples = videos()
    array = Batches(np.zeros((5, 2, 2, 3), np.uint8), examples.labels, 2, examples.spec, seed=9)
    streamed = StreamedBatches(examples, 2, how=Geometry(flip=True), seed=9, workers=0)
    for step in range(5):
        np.testing.assert_array_equal(streamed.indices(step), array.indices(step))
        x, y = streamed.batch(step)
        assert x.shape == (2, 3, 4, 28, 28)
        assert torch.equal(y, array.batch(step)[1])


def test_workers_change_nothing_and_any_step_can_be_next(videos: Callable[..., FileSet]) -> None:
    how = Geometry(flip=True, crop=2, scale_jitter=(28, 36))
    here = StreamedBatches(videos(), 2, how=how, seed=4, workers=0)
    ahead = StreamedBatches(videos(), 2, how=how, seed=4, workers=2)
    for step in (0, 1, 2, 9, 10, 3):
        for ours, theirs in zip(ahead.batch(step), here.batch(step), strict=True):
            assert torch.equal(ours, theirs)
    pieces = [list(in_test_order(videos(), 2, workers)) for workers in (0, 2)]
    assert [len(piece) for piece in pieces[0]] == [2, 2, 1]
    assert all(torch.equal(a, b) for a, b in zip(*pieces, strict=True))


def test_an_error_in_a_worker_is_told_as_it_is(videos: Callable[..., FileSet]) -> None:
    said = []
    for workers in (0, 1):
        batches = StreamedBatches(videos(frames=100), 2, how=Geometry(), workers=workers)
        with pytest.raises(DataError, match="a clip needs 100") as error:
            batches.batch(0)
        said.append(str(error.value))
    assert said[0] == said[1]


def test_batches_that_cannot_be_are_refused(images: FileSet) -> None:
    for batch in (0, 8):
        with pytest.raises(InputError, match="batch must be from 1 to the number of examples"):
            StreamedBatches(images, batch, how=Geometry())


def test_views_of_a_video_are_those_of_its_sampling(videos: Callable[..., FileSet]) -> None:
    source = clip_source(videos(views=2))
    assert isinstance(source, ClipSource)
    frames = np.arange(9, dtype=np.uint8)[:, None, None, None]
    assert source.views(frames)[..., 0, 0, 0].tolist() == source.sampling.at_test(9).tolist()
