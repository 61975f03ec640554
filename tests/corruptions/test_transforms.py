"""Transforms and the data set wrapper, alone and in torchvision's v2 pipelines."""

import numpy as np
import pytest
import torch
from PIL import Image

from regrow.corruptions import corrupt, names
from regrow.corruptions.transforms import Corrupt, CorruptedDataset, RandomCorrupt
from regrow.errors import InputError, UnknownNameError

ARRAYS = np.random.RandomState(0).randint(0, 256, (6, 32, 32, 3)).astype(np.uint8)
PLANES = torch.from_numpy(ARRAYS.transpose(0, 3, 1, 2).copy())


@pytest.mark.parametrize("name", names())
def test_a_picture_a_tensor_and_a_batch_come_out_alike(name):
    transform = Corrupt(name, 3)
    batch = transform(PLANES)
    assert batch.shape == PLANES.shape
    assert batch.dtype == torch.uint8
    for array, planes, expected in zip(ARRAYS, PLANES, batch, strict=True):
        assert torch.equal(transform(planes), expected)
        picture = transform(Image.fromarray(array))
        np.testing.assert_array_equal(np.asarray(picture), expected.permute(1, 2, 0).numpy())


@pytest.mark.usefixtures("libraries")
def test_a_pipeline_keeps_what_goes_with_the_image():
    from torchvision import tv_tensors
    from torchvision.transforms import v2

    pipeline = v2.Compose([v2.Resize(40), v2.CenterCrop(32), Corrupt("fog", 2), v2.ToDtype(torch.float32, scale=True)])
    image = tv_tensors.Image(PLANES[0])
    mask = tv_tensors.Mask(torch.ones(32, 32, dtype=torch.uint8))
    done, label, done_mask = pipeline(image, 7, mask)
    assert isinstance(done, tv_tensors.Image)
    assert done.dtype == torch.float32
    assert label == 7
    assert done_mask.shape == (32, 32)
    assert torch.equal(done_mask, mask)
    alone = Corrupt("contrast", 2)({"image": image, "label": torch.tensor(3)})
    assert isinstance(alone["image"], tv_tensors.Image)
    assert alone["label"].item() == 3
    video = tv_tensors.Video(PLANES[:4])
    assert isinstance(Corrupt("contrast", 2)(video), tv_tensors.Video)


def test_noise_by_content_is_the_same_in_any_order_and_other_for_other_images():
    transform = Corrupt("gaussian_noise", 5)
    assert torch.equal(transform(PLANES.flip(0)), transform(PLANES).flip(0))
    one_level_up = PLANES[0].clone()
    one_level_up[0, 0, 0] ^= 1
    noise = [(transform(x).int() - x.int()).float().flatten() for x in (PLANES[0], one_level_up)]
    assert abs(torch.corrcoef(torch.stack(noise))[0, 1]) < 0.1
    assert not torch.equal(Corrupt("gaussian_noise", 5, seed=1)(PLANES), transform(PLANES))


def test_fresh_noise_follows_torchs_seed():
    transform = Corrupt("shot_noise", 5, draws="fresh")
    torch.manual_seed(1)
    first, second = transform(PLANES[0]), transform(PLANES[0])
    assert not torch.equal(first, second)
    torch.manual_seed(1)
    assert torch.equal(transform(PLANES[0]), first)


def test_random_corrupt_chooses_among_all_and_leaves_its_share():
    torch.manual_seed(0)
    flat = torch.full((3, 32, 32), 100, dtype=torch.uint8)
    transform = RandomCorrupt(["brightness", "contrast"], [1, 5], p=0.5)
    lifted = {int(transform(flat)[0, 0, 0]) for _ in range(60)}
    assert lifted == {99, 100, 112, 176}  # contrast takes a flat image down a level, by cutting off
    with pytest.raises(InputError, match="p must lie"):
        RandomCorrupt(p=2.0)
    with pytest.raises(InputError, match="nothing to choose"):
        RandomCorrupt([])


def test_samples_without_torchvision():
    transform = Corrupt("brightness", 5)
    image, label = PLANES[0], torch.tensor(3)
    done = transform({"pair": [image, label], "n": 4})
    assert torch.equal(done["pair"][0], transform(image))
    assert done["pair"][1] is label
    assert done["n"] == 4
    picture = Image.fromarray(ARRAYS[0])
    done = transform((image, picture))  # a picture is the image: the tensor is something else
    assert done[0] is image
    assert np.asarray(done[1]).mean() > ARRAYS[0].mean()


class Listed(torch.utils.data.Dataset):
    def __init__(self, kind):
        self.kind = kind

    def __len__(self):
        return len(ARRAYS)

    def __getitem__(self, i):
        if self.kind == "bare":
            return PLANES[i]
        image = {"pil": Image.fromarray(ARRAYS[i]), "array": ARRAYS[i], "tensor": PLANES[i]}[self.kind]
        return image, i, "more"


@pytest.mark.parametrize("kind", ["pil", "array", "tensor", "bare"])
@pytest.mark.parametrize("mode", ["exact", "fast"])
def test_a_wrapped_data_set_has_the_bytes_of_the_written_one(kind, mode):
    expected = corrupt(ARRAYS, "glass_blur", 4, seed=3, mode=mode)
    wrapped = CorruptedDataset(Listed(kind), "glass_blur", 4, seed=3, mode=mode)
    assert len(wrapped) == len(ARRAYS)
    for i in (5, 0, -1):
        image = wrapped[i] if kind == "bare" else wrapped[i][0]
        if kind != "bare":
            assert wrapped[i][1:] == (i % 6 if i >= 0 else i, "more")
        got = np.asarray(image) if kind in ("pil", "array") else image.permute(1, 2, 0).numpy()
        np.testing.assert_array_equal(got, expected[i])
    with pytest.raises(IndexError):
        wrapped[6]


def test_what_cannot_be_used_is_refused_when_the_transform_is_made_or_called():
    with pytest.raises(UnknownNameError, match="Did you mean 'fog'"):
        Corrupt("fogg", 1)
    with pytest.raises(InputError, match="1 to 5"):
        Corrupt("fog", 6)
    with pytest.raises(InputError, match="draws"):
        Corrupt("fog", 1, draws="new")
    with pytest.raises(InputError, match="mode L"):
        Corrupt("fog", 1)(Image.fromarray(ARRAYS[0]).convert("L"))
    with pytest.raises(InputError, match="square"):
        Corrupt("fog", 1)(PLANES[0][:, :20])
    with pytest.raises(InputError, match="uint8"):
        Corrupt("fog", 1)(PLANES[0].float())
