"""What must hold for every corruption there is or will be."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from regrow.corruptions import common_names, corrupt, corrupt_set, families, get, names
from regrow.corruptions.choice import CHUNK_VALUES
from regrow.corruptions.draws import CounterStream
from regrow.corruptions.scales import SCALES
from regrow.errors import InputError, UnknownNameError

# Settings that are not ordered by strength from 1 to 5: saturate first takes colour away, then adds it.
RISING = {"saturate": [(1, 2), (3, 4, 5)]}
# Published settings that vary in more than strength (coarser flakes, other mixes, smaller but finer warps ...), or
# whose change depends on the piece or direction drawn.
NOT_ORDERED = {"elastic_transform", "frost", "glass_blur", "motion_blur", "snow", "spatter"}


def pictures(n: int, side: int = 32) -> np.ndarray:
    """Smooth colour with grain: neither flat nor pure noise."""
    stream = np.random.RandomState(5)
    y, x = np.mgrid[:side, :side] / side
    waves = np.stack([np.sin(6 * x + k) * np.cos(5 * y - k) for k in range(3 * n)]).reshape(n, 3, side, side)
    grain = stream.normal(0, 18, (n, side, side, 3))
    return np.clip(128 + 80 * waves.transpose(0, 2, 3, 1) + grain, 0, 255).astype(np.uint8)


IMAGES = pictures(12)


@pytest.mark.parametrize("severity", [1, 3, 5])
@pytest.mark.parametrize("name", names())
def test_shape_type_and_layout_are_kept_and_the_input_is_left(name, severity):
    before = IMAGES.copy()
    tensor = torch.from_numpy(IMAGES.transpose(0, 3, 1, 2).copy())
    array = corrupt(IMAGES, name, severity)
    from_tensor = corrupt(tensor, name, severity)
    assert array.shape == IMAGES.shape
    assert array.dtype == np.uint8
    assert isinstance(from_tensor, torch.Tensor)
    assert from_tensor.dtype == torch.uint8
    assert from_tensor.device == tensor.device
    np.testing.assert_array_equal(from_tensor.numpy().transpose(0, 2, 3, 1), array)
    np.testing.assert_array_equal(IMAGES, before)
    np.testing.assert_array_equal(tensor.numpy().transpose(0, 2, 3, 1), before)
    assert not np.shares_memory(array, IMAGES)


@pytest.mark.parametrize("name", names())
def test_apply_is_pure(name):
    record, images = get(name), IMAGES.copy()
    params = record.settings["cifar"][2]
    if record.prepare is not None:
        params, _ = record.prepare(params, None, 32)
    draws = None
    if record.draw is not None:
        draws = record.draw(CounterStream(0, name, 3, range(len(images))), images.shape[1:], params)
        for part in draws if isinstance(draws, tuple) else (draws,):
            part.flags.writeable = False
    images.flags.writeable = False
    np.testing.assert_array_equal(record.apply(images, draws, params), record.apply(images, draws, params))


@pytest.mark.parametrize("scale", list(SCALES))
@pytest.mark.parametrize("name", names())
def test_change_rises_with_severity(name, scale):
    changes = {}
    for severity in range(1, 6):
        result = corrupt(IMAGES, name, severity, scale=scale).astype(float)
        changes[severity] = np.abs(result - IMAGES).mean()
    assert all(change > 0 for change in changes.values())
    assert len(set(changes.values())) == 5
    for group in RISING.get(name, [] if name in NOT_ORDERED else [(1, 2, 3, 4, 5)]):
        rising = [changes[severity] for severity in group]
        assert rising == sorted(rising), changes


@pytest.mark.parametrize("name", names())
def test_an_image_has_the_same_result_in_any_batch_and_order(name):
    n = 2 * CHUNK_VALUES // IMAGES[0].size + 5  # more than two chunks
    images = np.tile(IMAGES, (n // len(IMAGES) + 1, 1, 1, 1))[:n]
    whole = corrupt(images, name, 4, seed=7)
    order = np.random.RandomState(1).permutation(n)
    np.testing.assert_array_equal(corrupt(images[order], name, 4, seed=7, index=order), whole[order])
    for cut in (1, n // 3):
        parts = [corrupt(images[:cut], name, 4, seed=7), corrupt(images[cut:], name, 4, seed=7, index=range(cut, n))]
        np.testing.assert_array_equal(np.concatenate(parts), whole)
    alone = corrupt(images[n - 1 :], name, 4, seed=7, index=[n - 1])
    np.testing.assert_array_equal(alone[0], whole[-1])


@pytest.mark.parametrize("name", [name for name in names() if get(name).is_random])
def test_noise_depends_on_seed_image_and_severity(name):
    twice = np.repeat(np.full((1, 32, 32, 3), 128, np.uint8) if get(name).family == "noise" else IMAGES[:1], 2, 0)
    first = corrupt(twice, name, 5, scale="imagenet").reshape(2, -1)
    other_seed = corrupt(twice, name, 5, scale="imagenet", seed=1).reshape(2, -1)
    other_severity = corrupt(twice, name, 4, scale="imagenet").reshape(2, -1)
    for other in (first[1], other_seed[0], other_severity[0]):
        assert not np.array_equal(first[0], other)
        if get(name).family == "noise":
            assert abs(np.corrcoef(first[0], other)[0, 1]) < 0.1  # five standard errors of independent noise


@pytest.mark.parametrize("name", [name for name in names() if not get(name).is_random])
def test_without_random_numbers_the_seed_does_not_matter(name):
    np.testing.assert_array_equal(corrupt(IMAGES, name, 3), corrupt(IMAGES, name, 3, seed=9, index=range(50, 62)))


@pytest.mark.parametrize("name", names())
def test_a_cell_is_what_corrupt_gives(name):
    out = np.zeros_like(IMAGES)
    assert corrupt_set(IMAGES, name, 2, seed=3, out=out) is out
    np.testing.assert_array_equal(out, corrupt(IMAGES, name, 2, seed=3, mode="exact"))
    np.testing.assert_array_equal(corrupt_set(IMAGES[4:], name, 2, seed=3, index=range(4, 12)), out[4:])


@pytest.mark.parametrize("side", [9, 31, 48, 100])
@pytest.mark.parametrize("name", names())
def test_other_square_sizes_take_the_nearest_column(name, side):
    images = pictures(2, side)
    nearest = {9: "cifar", 31: "cifar", 48: "tiny", 100: "tiny"}[side]
    result = corrupt(images, name, 3)
    assert result.shape == images.shape
    np.testing.assert_array_equal(result, corrupt(images, name, 3, scale=nearest))


@pytest.mark.parametrize("name", names())
def test_no_images_give_no_images(name):
    assert corrupt(IMAGES[:0], name, 1).shape == (0, 32, 32, 3)


def test_a_view_with_other_strides_is_read_as_it_looks():
    view = np.ascontiguousarray(IMAGES.transpose(0, 2, 1, 3)).transpose(0, 2, 1, 3)
    for name in names():
        np.testing.assert_array_equal(corrupt(view[:, ::-1], name, 2), corrupt(IMAGES[:, ::-1].copy(), name, 2))


@pytest.mark.parametrize("name", names())
def test_a_legacy_stream_runs_on_from_image_to_image(name):
    halves = np.random.RandomState(3)
    whole = corrupt(IMAGES, name, 4, rng=np.random.RandomState(3), mode="exact")
    parts = [corrupt(part, name, 4, rng=halves, mode="exact") for part in (IMAGES[:5], IMAGES[5:])]
    np.testing.assert_array_equal(np.concatenate(parts), whole)


BAD_IMAGES = {
    "uint8": IMAGES / 255.0,
    "RGB": IMAGES[..., :1],
    "images[None]": IMAGES[0],
    "square": IMAGES[:, :20],
    "too small": IMAGES[:, :4, :4],
    "got list": IMAGES.tolist(),
    "(N, 3, H, W)": torch.from_numpy(IMAGES),
    "got torch.float32": torch.zeros(1, 3, 32, 32),
}


@pytest.mark.parametrize("said", list(BAD_IMAGES))
@pytest.mark.parametrize("name", ["gaussian_noise", "contrast"])
def test_images_that_cannot_be_corrupted_are_refused_in_one_line(name, said):
    with pytest.raises(InputError) as error:
        corrupt(BAD_IMAGES[said], name, 1)
    assert said in str(error.value)
    assert "Next: " in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"severity": 6}, "1 to 5, got 6"),
        ({"severity": 0}, "1 to 5, got 0"),
        ({"severity": 2.5}, "1 to 5, got 2.5"),
        ({"severity": True}, "1 to 5, got True"),
        ({"name": "gausian_noise"}, "Did you mean 'gaussian_noise'?"),
        ({"name": None}, "unknown corruption 'None'"),
        ({"scale": "cifer"}, "Did you mean 'cifar'?"),
        ({"codec": "turbo", "name": "jpeg_compression"}, "Known: libjpeg9, pillow"),
        ({"rng": np.random.RandomState(0), "mode": "fast"}, "rng needs mode='exact'"),
        ({"mode": "exakt"}, "Did you mean 'exact'?"),
        ({"seed": -1}, "seed must be"),
        ({"seed": 0.5}, "seed must be"),
        ({"index": [0, 1]}, "each of the 12 images"),
        ({"index": np.arange(12) / 2}, "got float64"),
        ({"index": range(-1, 11)}, "[0, 2**32)"),
        ({"index": range(2**32 - 11, 2**32 + 1)}, "[0, 2**32)"),
        ({"rng": np.random.default_rng(0)}, "RandomState, got Generator"),
        ({"rng": np.random.RandomState(0), "index": range(12)}, "rng and index"),
    ],
)
def test_arguments_that_cannot_be_used_are_refused_in_one_line(changed, said):
    with pytest.raises(InputError) as error:
        corrupt(IMAGES, **({"name": "gaussian_noise", "severity": 1} | changed))
    assert said in str(error.value)
    assert "Next: " in str(error.value)


@pytest.mark.parametrize("out", [IMAGES, np.zeros((12, 32, 32, 3)), np.zeros((11, 32, 32, 3), np.uint8)])
def test_a_cell_refuses_to_write_where_it_cannot(out):
    before = out.copy()
    with pytest.raises(InputError, match="out must be another uint8 array"):
        corrupt_set(IMAGES, "contrast", 1, out=out)
    np.testing.assert_array_equal(out, before)


def test_families_extras_and_records():
    assert names() == sorted(names())
    assert set(families().values()) <= {"noise", "blur", "weather", "digital"}
    assert families()["defocus_blur"] == "blur"
    assert set(names()) - set(common_names()) <= {"speckle_noise", "gaussian_blur", "spatter", "saturate"}
    assert {"gaussian_blur", "saturate"} <= set(names()) - set(common_names())
    with pytest.raises(TypeError):
        get("contrast").settings["cifar"] = ()
    with pytest.raises(UnknownNameError):
        get("fogg")


def test_the_door_opens_without_heavy_imports():
    code = (
        "import sys, regrow.corruptions as c; c.names(); c.get('contrast'); c.corrupt; c.writer if False else 0\n"
        "print([m for m in ('torch', 'scipy', 'PIL', 'regrow.sparsity', 'timm') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
