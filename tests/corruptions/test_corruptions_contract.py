"""What must hold for every corruption there is or will be."""

import contextlib
import importlib.util
import itertools
import multiprocessing
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pytest
import torch

from regrow.corruptions import (
    benchmarks,
    common_names,
    corrupt,
    corrupt_set,
    families,
    get,
    kernel,
    names,
    provenance,
)
from regrow.corruptions.choice import CHUNK_VALUES
from regrow.corruptions.draws import CounterStream
from regrow.corruptions.scales import SCALES
from regrow.errors import InputError, UnknownNameError

#: Those of extras that are not installed are left out.
ALL = [name for name in names(None) if get(name).needs != "video" or importlib.util.find_spec("av")]
MODES = ("exact", "fast")
BOTH = pytest.mark.parametrize("mode", MODES)


def _param(name: str, *more: str):
    """Types that go through a video encoder take their time; ``test_coded`` has their quick properties."""
    return pytest.param(name, *more, marks=[pytest.mark.slow] if get(name).needs else [])


EACH = pytest.mark.parametrize("name", [_param(name) for name in ALL])

# Severities that rise in strength, where they do not from 1 to 5: saturate first takes colour away, then adds it; at
# 32 px severities 3 and 4 of motion_blur are one law; spatter is water, then mud; snow gets coarser flakes at 3.
RISING = {
    **{("saturate", scale): [(1, 2), (3, 4, 5)] for scale in SCALES},
    **{("snow", scale): [(1, 2), (3, 4, 5)] for scale in ("imagenet", "inception")},
    **{("spatter", scale): [(1, 2, 3), (4, 5)] for scale in ("cifar", "tiny")},
    ("motion_blur", "cifar"): [(1, 2, 3), (4, 5)],
}
# Published settings that vary in more than strength (finer warps, other mixes, wider shuffles under less blur): from
# one severity to the next the mean change falls by up to 57 % (elastic_transform), 16 % (frost), 9 % (glass_blur).
NOT_ORDERED = {(name, scale) for name in ("elastic_transform", "frost", "glass_blur") for scale in SCALES}
NOT_ORDERED |= {("spatter", "imagenet"), ("spatter", "inception")}  # less smooth drops cover less


def pictures(n: int, side: int = 32) -> np.ndarray:
    """Smooth colour with grain: neither flat nor pure noise."""
    stream = np.random.RandomState(5)
    y, x = np.mgrid[:side, :side] / side
    waves = np.stack([np.sin(6 * x + k) * np.cos(5 * y - k) for k in range(3 * n)]).reshape(n, 3, side, side)
    grain = stream.normal(0, 18, (n, side, side, 3))
    return np.clip(128 + 80 * waves.transpose(0, 2, 3, 1) + grain, 0, 255).astype(np.uint8)


IMAGES = pictures(12)


@BOTH
@pytest.mark.parametrize("severity", [1, 3, 5])
@EACH
def test_shape_type_and_layout_are_kept_and_the_input_is_left(name, severity, mode):
    before = IMAGES.copy()
    tensor = torch.from_numpy(IMAGES.transpose(0, 3, 1, 2).copy())
    array = corrupt(IMAGES, name, severity, mode=mode)
    from_tensor = corrupt(tensor, name, severity, mode=mode)
    assert array.shape == IMAGES.shape
    assert array.dtype == np.uint8
    assert isinstance(from_tensor, torch.Tensor)
    assert from_tensor.dtype == torch.uint8
    assert from_tensor.device == tensor.device
    assert from_tensor.is_contiguous()
    np.testing.assert_array_equal(from_tensor.numpy().transpose(0, 2, 3, 1), array)
    np.testing.assert_array_equal(IMAGES, before)
    np.testing.assert_array_equal(tensor.numpy().transpose(0, 2, 3, 1), before)
    assert not np.shares_memory(array, IMAGES)


@pytest.mark.parametrize("code", ["compiled", "array code"])
@EACH
def test_apply_is_pure(name, code):
    """Its inputs are read-only, and numbers of a real stream."""
    record, images = get(name), IMAGES.copy()
    for severity in (1, 3, 5):
        params = next(iter(record.settings.values()))[severity - 1]
        if record.prepare is not None:
            params, _ = record.prepare(params, None, 32)
        draws = None
        if record.draw is not None:
            draws = record.draw(CounterStream(0, name, severity, range(len(images))), images.shape[1:], params)
            for part in draws if isinstance(draws, tuple) else (draws,):
                assert len(part) == len(images)
                part.flags.writeable = False
        images.flags.writeable = False
        with contextlib.nullcontext() if code == "compiled" else kernel.disabled():
            first, second = (record.apply(images, draws, params) for _ in range(2))
        np.testing.assert_array_equal(first, second)
        np.testing.assert_array_equal(images, IMAGES)


@pytest.mark.parametrize(("name", "scale"), [_param(name, scale) for name in ALL for scale in get(name).settings])
def test_change_rises_with_severity(name, scale):
    changes = {}
    for severity in range(1, 6):
        result = corrupt(IMAGES, name, severity, scale=scale).astype(float)
        changes[severity] = np.abs(result - IMAGES).mean()
    assert all(change > 0 for change in changes.values())
    assert len(set(changes.values())) == 5
    ordered = [] if (name, scale) in NOT_ORDERED else [(1, 2, 3, 4, 5)]
    for group in RISING.get((name, scale), ordered):
        rising = [changes[severity] for severity in group]
        assert rising == sorted(rising), changes


@BOTH
@EACH
def test_an_image_has_the_same_result_in_any_batch_and_order(name, mode):
    n = 2 * CHUNK_VALUES // IMAGES[0].size + 5  # more than two chunks
    images = np.tile(IMAGES, (n // len(IMAGES) + 1, 1, 1, 1))[:n]
    whole = corrupt(images, name, 4, seed=7, mode=mode)
    order = np.random.RandomState(1).permutation(n)
    np.testing.assert_array_equal(corrupt(images[order], name, 4, seed=7, index=order, mode=mode), whole[order])
    first = corrupt(images[:1], name, 4, seed=7, mode=mode)
    second = corrupt(images[1 : n // 3], name, 4, seed=7, index=range(1, n // 3), mode=mode)
    third = corrupt(images[n // 3 :], name, 4, seed=7, index=range(n // 3, n), mode=mode)
    np.testing.assert_array_equal(np.concatenate([first, second, third]), whole)
    alone = corrupt(images[n - 1 :], name, 4, seed=7, index=[n - 1], mode=mode)
    np.testing.assert_array_equal(alone[0], whole[-1])


def test_an_image_has_the_same_result_in_any_process():
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        parts = {}
        for name, mode, part in itertools.product(ALL, MODES, (slice(0, 2), slice(2, 5))):
            index = range(5)[part]
            parts[name, mode, part.start] = pool.submit(corrupt, IMAGES[part], name, 2, seed=5, index=index, mode=mode)
        for name, mode in itertools.product(ALL, MODES):
            there = np.concatenate([parts[name, mode, start].result() for start in (0, 2)])
            np.testing.assert_array_equal(there, corrupt(IMAGES[:5], name, 2, seed=5, mode=mode), err_msg=name)


@pytest.mark.parametrize("name", [_param(name) for name in ALL if get(name).is_random])
def test_noise_depends_on_seed_image_and_severity(name):
    record = get(name)
    is_white = record.family == "noise" and record.benchmark != "c-bar"  # each value by itself
    twice = np.repeat(np.full((1, 32, 32, 3), 128, np.uint8) if is_white else IMAGES[:1], 2, 0)
    scale = "imagenet" if "imagenet" in record.settings else None
    first = corrupt(twice, name, 5, scale=scale).reshape(2, -1)
    other_seed = corrupt(twice, name, 5, scale=scale, seed=1).reshape(2, -1)
    other_severity = corrupt(twice, name, 4, scale=scale).reshape(2, -1)
    for other in (first[1], other_seed[0], other_severity[0]):
        assert not np.array_equal(first[0], other)
        if is_white:
            assert abs(np.corrcoef(first[0], other)[0, 1]) < 0.1  # five standard errors of independent noise


@pytest.mark.parametrize("name", [_param(name) for name in ALL if not get(name).is_random])
def test_without_random_numbers_the_seed_does_not_matter(name):
    np.testing.assert_array_equal(corrupt(IMAGES, name, 3), corrupt(IMAGES, name, 3, seed=9, index=range(50, 62)))


@BOTH
@EACH
def test_a_cell_is_what_corrupt_gives(name, mode):
    out = np.zeros_like(IMAGES)
    assert corrupt_set(IMAGES, name, 2, seed=3, out=out, mode=mode) is out
    np.testing.assert_array_equal(out, corrupt(IMAGES, name, 2, seed=3, mode=mode))
    np.testing.assert_array_equal(corrupt_set(IMAGES[4:], name, 2, seed=3, index=range(4, 12), mode=mode), out[4:])


@pytest.mark.parametrize("side", [8, 9, 31, 48, 100, 180])
@EACH
def test_other_square_sizes_take_the_nearest_column(name, side):
    images, columns = pictures(2, side), get(name).settings
    nearest = {8: "cifar", 9: "cifar", 31: "cifar", 48: "tiny", 100: "tiny", 180: "imagenet"}[side]
    if nearest not in columns:
        nearest = min(columns, key=lambda scale: max(SCALES[scale] / side, side / SCALES[scale]))
    for mode in MODES:
        result = corrupt(images, name, 3, mode=mode)
        assert result.shape == images.shape
        np.testing.assert_array_equal(result, corrupt(images, name, 3, scale=nearest, mode=mode))
    assert nearest in provenance(name, side)["scale"]
    assert f"{side} px" in provenance(name, side)["scale"]


@BOTH
@EACH
def test_no_images_give_no_images(name, mode):
    assert corrupt(IMAGES[:0], name, 1, mode=mode).shape == (0, 32, 32, 3)
    assert corrupt(torch.zeros(0, 3, 32, 32, dtype=torch.uint8), name, 1, mode=mode).shape == (0, 3, 32, 32)


@BOTH
@EACH
def test_a_view_with_other_strides_is_read_as_it_looks(name, mode):
    view = np.ascontiguousarray(IMAGES.transpose(0, 2, 1, 3)).transpose(0, 2, 1, 3)
    expected = corrupt(IMAGES[:, ::-1].copy(), name, 2, mode=mode)
    np.testing.assert_array_equal(corrupt(view[:, ::-1], name, 2, mode=mode), expected)
    tensor = torch.from_numpy(IMAGES[:, ::-1].copy()).permute(0, 3, 1, 2)  # channels last in memory
    np.testing.assert_array_equal(corrupt(tensor, name, 2, mode=mode).permute(0, 2, 3, 1), expected)


@EACH
def test_a_legacy_stream_runs_on_from_image_to_image(name):
    halves = np.random.RandomState(3)
    whole = corrupt(IMAGES, name, 4, rng=np.random.RandomState(3), mode="exact")
    parts = [corrupt(part, name, 4, rng=halves, mode="exact") for part in (IMAGES[:5], IMAGES[5:])]
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    untouched = np.array_equal(halves.get_state()[1], np.random.RandomState(3).get_state()[1])
    assert untouched == (not get(name).is_random)


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
        ({"name": ["fog"]}, "unknown corruption"),
        ({"scale": "cifer"}, "Did you mean 'cifar'?"),
        ({"codec": "turbo", "name": "jpeg_compression"}, "Known: libjpeg9, pillow"),
        ({"rng": np.random.RandomState(0), "mode": "fast"}, "rng needs mode='exact'"),
        ({"rng": np.random.RandomState(0)}, "rng needs mode='exact'"),  # fast is the default
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


def test_benchmarks():
    assert benchmarks() == ["3dcc", "c", "c-bar"]
    assert [len(names(benchmark)) for benchmark in ("c", "c-bar", "3dcc")] == [19, 15, 6]
    assert sorted(itertools.chain(*map(names, benchmarks()))) == names(None)
    assert len(common_names()) == 15
    with pytest.raises(UnknownNameError, match=r"unknown benchmark 'c_bar'.*Did you mean 'c-bar'"):
        names("c_bar")


def test_the_door_opens_without_heavy_imports():
    code = (
        "import sys, regrow.corruptions as c; c.names(); c.get('contrast'); c.corrupt; c.writer if False else 0\n"
        "print([m for m in ('torch', 'scipy', 'PIL', 'regrow.sparsity', 'timm') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
