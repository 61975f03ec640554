"""An augmented image follows from the image, its word and the view, whatever its batch and its process."""

from __future__ import annotations

import importlib
import random
from pathlib import Path

import numpy as np
import pytest
import torch

from regrow.data.augmentation import Augmentation, AugMix, GaussianNoise, Prime, augment, words
from regrow.errors import InputError

KINDS = {
    "randaugment": Augmentation(randaugment="rand-m9-mstd0.5-inc1"),
    "augmix": Augmentation(augmix=AugMix()),
    "prime": Augmentation(prime=Prime()),
    "noise": Augmentation(noise=GaussianNoise(0.1, share=0.9)),
    "all": Augmentation("rand-m5-n1", AugMix(depth=1, width=2), Prime(warp_terms=5), GaussianNoise(0.02)),
}


@pytest.fixture(autouse=True)
def _timm(libraries: None) -> None:
    """timm, or a skip."""


@pytest.mark.parametrize("kind", KINDS)
class TestEveryKind:
    def test_an_image_alone_is_the_image_in_its_batch(self, pictures: np.ndarray, kind: str) -> None:
        own = words(5, 2, 7)
        whole = augment(pictures, own, KINDS[kind])
        assert whole.dtype == np.uint8
        assert whole.shape == pictures.shape
        for i in (6, 0, 3):
            assert np.array_equal(augment(pictures[i : i + 1], own[i : i + 1], KINDS[kind])[0], whole[i])
        mixed = [4, 1, 5]
        assert np.array_equal(augment(pictures[mixed], own[mixed], KINDS[kind]), whole[mixed])

    def test_words_and_views_make_different_images(self, pictures: np.ndarray, kind: str) -> None:
        same = np.repeat(pictures[:1], 7, 0)
        made = augment(same, words(1, 0, 7), KINDS[kind])
        assert len({image.tobytes() for image in made}) > 3
        assert not np.array_equal(made, augment(same, words(1, 0, 7), KINDS[kind], view=1))
        assert not np.array_equal(made, augment(same, words(1, 1, 7), KINDS[kind]))

    def test_global_generators_and_the_images_stay_as_they_were(self, pictures: np.ndarray, kind: str) -> None:
        kept = pictures.copy()
        random.seed(7)
        np.random.seed(7)
        before = random.getstate(), np.random.get_state()[1].tolist(), torch.random.get_rng_state()
        augment(pictures, words(0, 0, 7), KINDS[kind])
        assert random.getstate() == before[0]
        assert np.random.get_state()[1].tolist() == before[1]
        assert torch.equal(torch.random.get_rng_state(), before[2])
        assert np.array_equal(pictures, kept)

    def test_frames_of_a_clip_are_treated_alike(self, pictures: np.ndarray, kind: str) -> None:
        clips = np.stack([pictures[:3], pictures[3:6]])
        made = augment(clips, words(4, 0, 2), KINDS[kind])
        assert made.shape == clips.shape
        if kind in ("noise", "all"):  # noise is new in every frame
            still = augment(np.stack([pictures[:1].repeat(2, 0)] * 8), words(4, 0, 8), KINDS[kind])
            assert any(not np.array_equal(clip[0], clip[1]) for clip in still)
            return
        for frame in range(3):
            assert np.array_equal(augment(clips[:, frame], words(4, 0, 2), KINDS[kind]), made[:, frame])

    def test_worker_processes_make_the_images_of_the_main_process(self, pictures: np.ndarray, kind: str) -> None:
        own = words(9, 3, 7)

        class Single(torch.utils.data.Dataset):
            def __len__(self) -> int:
                return 7

            def __getitem__(self, i: int) -> torch.Tensor:
                random.seed(i)  # what others do to the global generators must not matter
                return torch.from_numpy(augment(pictures[i : i + 1], own[i : i + 1], KINDS[kind], view=1)[0])

        loader = torch.utils.data.DataLoader(Single(), batch_size=3, num_workers=2, multiprocessing_context="fork")
        made = torch.cat(list(loader)).numpy()
        assert np.array_equal(made, augment(pictures, own, KINDS[kind], view=1))


def test_a_clean_first_view_is_the_image_and_the_others_share_its_window(pictures: np.ndarray) -> None:
    three = Augmentation(noise=GaussianNoise(0.1), views=3, clean_first=True)
    own = words(0, 0, 7)
    assert np.array_equal(augment(pictures, own, three, 0), pictures)
    assert not np.array_equal(augment(pictures, own, three, 1), augment(pictures, own, three, 2))
    assert [three.window(view) for view in range(3)] == [0, 0, 0]
    assert [Augmentation(views=2).window(view) for view in range(2)] == [0, 1]


def test_first_words_do_not_depend_on_how_many_there_are() -> None:
    assert np.array_equal(words(3, 4, 5), words(3, 4, 50)[:5])
    assert len(np.unique(np.concatenate([words(s, t, 8) for s in range(3) for t in range(3)]))) == 72


def test_what_cannot_be_augmented_is_one_line(pictures: np.ndarray) -> None:
    nothing, own = Augmentation(), words(0, 0, 7)
    with pytest.raises(InputError, match=r"must be uint8 .* got float64 \(7, 20, 24, 3\)"):
        augment(pictures / 255, own, nothing)
    with pytest.raises(InputError, match="must be uint8"):
        augment(pictures[..., :1], own, nothing)
    with pytest.raises(InputError, match="7 images need as many words"):
        augment(pictures, own[:6], nothing)
    with pytest.raises(InputError, match="from 1 to 255 views"):
        Augmentation(views=0)
    for wrong in ({"sd": 0.0}, {"sd": 0.1, "share": 1.5}):
        with pytest.raises(InputError, match="sd > 0 and a share"):
            GaussianNoise(**wrong)
    for wrong in ({"width": 0}, {"filter_sd": -1.0}, {"warp_terms": 2}, {"colour_terms": 0}, {"depth": 900}):
        with pytest.raises(InputError, match="PRIME"):
            Prime(**wrong)


@pytest.mark.parametrize(
    "kind", [Augmentation(randaugment="rand-m1-n7"), Augmentation(augmix=AugMix(severity=9, width=7))]
)
def test_without_timm_one_line_tells_what_to_install(
    kind: Augmentation, pictures: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = importlib.import_module

    def absent(module: str, package: str | None = None) -> object:
        if module.startswith("timm"):
            raise ModuleNotFoundError("gone", name="timm")
        return real(module, package)

    monkeypatch.setattr(importlib, "import_module", absent)
    with pytest.raises(InputError, match=r"not installed \(timm\)\. Next: `pip install 'regrow\[models\]'`") as caught:
        augment(pictures, words(0, 0, 7), kind)
    assert "\n" not in str(caught.value)


def test_augmentation_of_images_needs_no_torch(tmp_path: Path) -> None:
    import subprocess
    import sys

    code = "import sys, numpy as np; from regrow.data.augmentation import *; "
    code += "augment(np.zeros((1, 8, 8, 3), np.uint8), words(0, 0, 1), Augmentation(noise=GaussianNoise(0.1))); "
    code += "print([m for m in ('torch', 'timm', 'torchvision') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout.strip() == "[]"
