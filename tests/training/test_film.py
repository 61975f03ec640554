"""The film of masks: the right frames, bounded, and the same after any kill; no trace of it in the run's bits."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from regrow import data, sparsity
from regrow.data.spec import ImageSet
from regrow.errors import DataError, InputError
from regrow.training import film as films
from regrow.training.checkpoint import load_weights
from regrow.training.film import FILM, FilmRecorder, MaskFilm, load_film, save_film
from regrow.training.loop import Trainer
from regrow.training.settings import MethodSettings, RunSettings


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> ImageSet:
    return data.load("cues", "train", n=64, root=tmp_path_factory.mktemp("data"))


def settings(method: str = "set", interval: int = 2) -> RunSettings:
    return RunSettings.model_validate(
        {
            "data": {"name": "cues", "train_images": 64},
            "model": {"name": "resnet8", "width": 4},
            "method": MethodSettings(name=method, interval=interval).model_dump(),
            "sparsity": 0.0 if method == "dense" else 0.6,
            "seeds": {"init": 1, "mask": 2, "data": 3, "growth": 4},
            "training": {"steps": 14, "batch": 8, "lr": 0.05},
            "precision": {"dtype": "fp32", "channels_last": False},
        }
    )


def model(*widths: int) -> nn.Sequential:
    return nn.Sequential(*(nn.Linear(a, b, bias=False) for a, b in itertools.pairwise(widths)))


def attached(net: nn.Module, method: Any = None, total_steps: int = 20) -> sparsity.Sparsifier:
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    net.optimizer = optimizer  # the sparsifier does not keep it
    method = method or sparsity.SET(0.5, timing=sparsity.Every(2), allocation=sparsity.Uniform())
    return sparsity.attach(net, optimizer, method, total_steps=total_steps)


def steps(net: nn.Module, recorder: FilmRecorder | None, n: int) -> list[dict[str, torch.Tensor]]:
    """Train on noise, take frames; the masks after each step."""
    generator, seen = torch.Generator().manual_seed(0), []
    for _ in range(n):
        net.optimizer.zero_grad()
        net(torch.randn(4, next(net.parameters()).shape[1], generator=generator)).square().mean().backward()
        net.optimizer.step()
        if recorder is not None:
            recorder.take()
            seen.append(recorder._sparsifier.masks)
    return seen


def test_frames_are_the_masks_after_the_updates(tmp_path: Path) -> None:
    net = model(12, 20, 9)
    sparsifier = attached(net)
    recorder = FilmRecorder(tmp_path / FILM, sparsifier, ["0.weight", "1.weight"])
    start = sparsifier.masks
    recorder.resume()
    seen = steps(net, recorder, 20)
    found = recorder.film
    assert found.updates.tolist() == list(range(sparsifier.planned_updates + 1))
    assert found.steps.tolist() == [0] + [row["step"] for row in sparsifier.history if row["layer"] == "0.weight"]
    for frame, step in enumerate(found.steps):
        masks = start if step == 0 else seen[step - 1]
        for name in ("0.weight", "1.weight"):
            assert np.array_equal(found.masks(name)[frame], masks[name].numpy()), (name, frame)


def test_a_film_that_is_saved_is_read_again_and_its_bytes_follow_from_it(tmp_path: Path) -> None:
    film = MaskFilm(np.array([0, 3]), np.array([0, 9]), {"a.b": (3, 3)}, {"a.b": np.array([[5, 1], [9, 0]], np.uint8)})
    for name in ("one.npz", "two.npz"):
        save_film(tmp_path / name, film)
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()
    again = load_film(tmp_path / "one.npz")
    assert again is not None
    assert again.shapes == film.shapes
    assert np.array_equal(again.masks("a.b"), film.masks("a.b"))
    assert again.masks("a.b")[0].reshape(-1).tolist() == [bool(c == "1") for c in "101000001"]
    assert load_film(tmp_path / "none.npz") is None
    (tmp_path / "one.npz").write_bytes((tmp_path / "one.npz").read_bytes()[:-20])
    with pytest.raises(DataError, match="not a readable film"):
        load_film(tmp_path / "one.npz")


@pytest.mark.parametrize("planned", [3, 59, 60, 200])
def test_a_film_has_few_frames_from_the_first_mask_to_the_last(
    tmp_path: Path, planned: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = model(8, 8)
    sparsifier = attached(net, sparsity.SET(0.5, timing=sparsity.Every(1, stop=1.0)), total_steps=planned)
    recorder = FilmRecorder(tmp_path / FILM, sparsifier)
    recorder.resume()
    steps(net, recorder, planned)
    recorder.take(last=True)
    updates = recorder.film.updates
    assert len(updates) == min(films.MOST_FRAMES, sparsifier.update_count + 1)
    assert (updates[0], updates[-1]) == (0, sparsifier.update_count)
    assert np.diff(updates).max() - np.diff(updates).min() <= 1
    monkeypatch.setattr(films, "MOST_BYTES", 3 * 8)  # three frames of 64 bits
    assert len(FilmRecorder(tmp_path / FILM, sparsifier)._wanted) == 3
    monkeypatch.setattr(films, "MOST_BYTES", 1)
    assert len(FilmRecorder(tmp_path / FILM, sparsifier)._wanted) == 2


def test_the_largest_layer_under_the_cap_and_the_first_are_filmed(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = lambda *widths: films.filmed_layers(attached(model(*widths)))  # noqa: E731
    assert chosen(8, 10, 30, 20) == ["0.weight", "2.weight"]
    monkeypatch.setattr(films, "LARGEST_LAYER", 400)
    assert chosen(8, 10, 30, 20) == ["0.weight", "1.weight"]
    assert chosen(30, 20, 10, 5) == ["1.weight"]  # the first is too large
    monkeypatch.setattr(films, "LARGEST_LAYER", 10)
    assert chosen(30, 20, 10, 6) == ["2.weight"]  # all are: the smallest
    with pytest.raises(InputError, match="no sparse layer"):
        FilmRecorder(Path(FILM), attached(model(4, 4)), ["x"])


@pytest.fixture(scope="module")
def whole(images: ImageSet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that was never killed."""
    folder = tmp_path_factory.mktemp("whole")
    Trainer(settings(), images, folder).train()
    return folder


def test_a_run_leaves_a_film_of_two_layers_at_every_update(whole: Path) -> None:
    film = load_film(whole / FILM)
    assert film is not None
    assert film.updates.tolist() == [0, 1, 2, 3, 4, 5]
    assert film.steps.tolist() == [0, 2, 4, 6, 8, 10]
    final = load_weights(whole / "model.safetensors").masks
    assert len(film.shapes) == 2
    for name in film.shapes:
        assert np.array_equal(film.masks(name)[-1], final[name].numpy())


@pytest.mark.parametrize(("cut", "further"), [(1, 0), (5, 4), (6, 0), (6, 1), (13, 0)])
def test_a_run_that_is_killed_leaves_the_film_of_one_that_was_not(
    images: ImageSet, tmp_path: Path, whole: Path, cut: int, further: int
) -> None:
    first = Trainer(settings(), images, tmp_path)
    first.model.train()
    for _ in range(cut):
        first.one_step()
        first.step += 1
    first._checkpoint()
    for _ in range(further):
        first.one_step()
        first.step += 1
    first.film.save()  # the film is ahead of the checkpoint: killed between the two
    Trainer(settings(), images, tmp_path).train()
    assert (tmp_path / FILM).read_bytes() == (whole / FILM).read_bytes()


def test_frames_that_are_ahead_of_the_run_are_dropped(whole: Path, images: ImageSet, tmp_path: Path) -> None:
    (tmp_path / FILM).write_bytes((whole / FILM).read_bytes())
    begun = Trainer(settings(), images, tmp_path)  # without a checkpoint
    assert begun.film.film.updates.tolist() == [0]


def test_a_run_that_stops_early_ends_its_film_with_its_last_mask(
    images: ImageSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(films, "MOST_FRAMES", 2)  # the first mask and that after update 5, which is not reached
    run = settings()
    run = run.model_copy(update={"training": run.training.model_copy(update={"stop_after": 0.5})})
    Trainer(run, images, tmp_path).train()
    film, final = load_film(tmp_path / FILM), load_weights(tmp_path / "model.safetensors").masks
    assert film is not None
    assert film.updates.tolist() == [0, 3]
    for name in film.shapes:
        assert np.array_equal(film.masks(name)[-1], final[name].numpy())


def test_a_run_that_is_done_and_started_again_keeps_its_film(images: ImageSet, whole: Path) -> None:
    before = (whole / FILM).read_bytes()
    Trainer(settings(), images, whole).train()
    assert (whole / FILM).read_bytes() == before


def test_a_film_that_is_lost_or_damaged_goes_on_from_where_the_run_is(images: ImageSet, tmp_path: Path) -> None:
    first = Trainer(settings(), images, tmp_path)
    first.model.train()
    for _ in range(7):
        first.one_step()
        first.step += 1
    first._checkpoint()
    (tmp_path / FILM).write_bytes(b"no film")
    Trainer(settings(), images, tmp_path).train()
    film = load_film(tmp_path / FILM)
    assert film is not None
    assert film.updates.tolist() == [3, 4, 5]
    assert film.steps.tolist() == [6, 8, 10]


@pytest.mark.parametrize("method", ["dense", "static"])
def test_what_never_updates_has_no_film(images: ImageSet, tmp_path: Path, method: str) -> None:
    Trainer(settings(method), images, tmp_path).train()
    assert (tmp_path / "model.safetensors").exists()
    assert not (tmp_path / FILM).exists()


def test_filming_leaves_the_bits_of_a_run(images: ImageSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Trainer(settings("granet"), images, tmp_path / "with").train()
    monkeypatch.setattr(FilmRecorder, "take", lambda *_, **__: None)
    Trainer(settings("granet"), images, tmp_path / "without").train()
    assert not (tmp_path / "without" / FILM).exists()
    one, other = (tmp_path / name / "model.safetensors" for name in ("with", "without"))
    assert one.read_bytes() == other.read_bytes()
    film = load_film(tmp_path / "with" / FILM)
    assert film is not None
    counts = film.masks(next(iter(film.shapes))).reshape(len(film.updates), -1).sum(1)
    assert counts[0] > counts[-1]  # its density falls


def test_packed_masks_are_the_masks() -> None:
    sparsifier = attached(model(9, 7, 5))
    for name, mask in sparsifier.masks.items():
        packed = sparsifier.packed_mask(name)
        assert np.array_equal(
            np.unpackbits(packed, count=mask.numel(), bitorder="little").astype(bool), mask.reshape(-1).numpy()
        )
    with pytest.raises(InputError, match="x is not a sparse layer"):
        sparsifier.packed_mask("x")
