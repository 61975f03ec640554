"""The compiled loops: same bytes as the array code, and what happens where they cannot be had."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from regrow import seeds
from regrow.corruptions import colour, corrupt, edges, gaussian, get, kernel, names, quantile
from regrow.corruptions.blur import defocus_blur
from regrow.corruptions.draws import CounterStream, poisson
from regrow.corruptions.elastic import Elastic, elastic_transform
from regrow.corruptions.glass import shuffle
from regrow.corruptions.motion import motion
from regrow.corruptions.zoom import zoom_blur

if not kernel.status().active:
    pytest.skip(f"no compiled loops here: {kernel.status().detail}", allow_module_level=True)

STREAM = np.random.RandomState(8)


def images_of(side: int, n: int = 5) -> np.ndarray:
    """The first ``n`` of: noise, black and white, flat with a black corner, a ramp with a disk, black."""
    stream = np.random.RandomState(side)
    noise, sharp = stream.randint(0, 256, (2, side, side, 3))
    flat = np.broadcast_to([200, 7, 131], sharp.shape).copy()
    flat[side // 3 :, side // 2 :] = 0
    y, x = np.mgrid[:side, :side]
    ramp = np.stack([255 * x // (side - 1), 255 * y // (side - 1), (x + y) % 256], axis=2)
    ramp[np.hypot(y - side / 3, x - side / 3) < side / 5] = 250, 40, 20
    return np.stack([noise, (sharp > 127) * 255, flat, ramp, np.zeros_like(flat)])[:n].astype(np.uint8)


def settings_of(name: str) -> dict[object, tuple[str, int]]:
    """The different settings of a corruption, and a scale and severity of each."""
    columns = get(name).settings.items()
    return {params: (scale, s) for scale, column in columns for s, params in enumerate(column, start=1)}


@pytest.mark.parametrize(
    ("side", "n"), [(8, 5), (9, 1), (31, 2), (47, 3), pytest.param(100, 4, marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("name", names(None))
def test_the_same_bytes_without_the_compiled_loops(name, side, n):
    images = images_of(side, n)
    for scale, severity in settings_of(name).values():
        compiled = corrupt(images, name, severity, mode="exact", scale=scale)
        with kernel.disabled():
            np.testing.assert_array_equal(corrupt(images, name, severity, mode="exact", scale=scale), compiled)


SHIFTS = STREAM.randint(-2, 2, (5, 2, 100, 100, 2)).astype(np.int8)
POINTS, FIELD = STREAM.uniform(-2, 2, (5, 3, 2)), STREAM.uniform(-1, 1, (5, 2, 100, 100))
UNIFORM = STREAM.random_sample((5, 100, 100, 3))


def _shuffled(images: np.ndarray) -> np.ndarray:
    reach = images.shape[1] - 4
    return shuffle(images, SHIFTS[: len(images), :, :reach, ::-1][:, :, :, :reach], 2)


def _warped(images: np.ndarray) -> np.ndarray:
    n, side = images.shape[:2]
    return elastic_transform(images, (POINTS[:n], FIELD[:n, ::-1, :side, :side]), Elastic(2.0, 0.0, 2.0))


def _uniform(images: np.ndarray) -> np.ndarray:
    words = images.astype(np.uint64)[::-1] * np.uint64(0x0101010101010101)
    lib = kernel.library()
    return seeds.uniform(words) if lib is None else lib.uniform(words)


# What calls each compiled function, on images of any memory order.
CALLS = {
    "uniform": _uniform,
    "normal": lambda images: quantile.normal((images.astype(float)[:, ::2] + 0.5) / 256),
    "poisson": lambda images: poisson(UNIFORM[: len(images), : images.shape[1], : images.shape[1]], images, 60.0),
    "gaussian": lambda images: gaussian.gaussian(images.astype(float)[:, ::-1], 1.3),
    "motion": lambda images: motion(images, 5, 2.0, np.linspace(-135, 45, len(images) + 1)[1:]),
    "shuffle": _shuffled,
    "zoom_blur": lambda images: zoom_blur(images, None, (1.16, 0.01)),
    "elastic": _warped,
    "disk": lambda images: defocus_blur(images, None, (1.5, 0.1)),
    "colour": lambda images: colour.change(images, saturation=(2.0, 0.1)),
    "chamfer": lambda images: edges.chamfer(images[..., 0] > 250),
}


def test_every_compiled_function_is_called_here():
    assert set(CALLS) == {name for name in vars(kernel.Library) if not name.startswith("_")}


@pytest.mark.parametrize("order", ["plain", "transposed", "reversed", "channels apart", "cut out"])
@pytest.mark.parametrize(("side", "n"), [(8, 5), (33, 2), (96, 1)])
@pytest.mark.parametrize("function", list(CALLS))
def test_each_function_takes_any_memory_order(monkeypatch, function, side, n, order):
    plain = images_of(side, n)
    around = np.zeros((n, side + 4, side + 4, 3), np.uint8)
    around[:, 2:-2, 2:-2] = plain
    images = {
        "plain": plain,
        "transposed": np.ascontiguousarray(plain.transpose(0, 2, 1, 3)).transpose(0, 2, 1, 3),
        "reversed": np.ascontiguousarray(plain[::-1, ::-1])[::-1, ::-1],
        "channels apart": np.ascontiguousarray(plain.transpose(0, 3, 1, 2)).transpose(0, 2, 3, 1),
        "cut out": around[:, 2:-2, 2:-2],
    }[order]
    called = []
    whole = getattr(kernel.Library, function)
    monkeypatch.setattr(
        kernel.Library, function, lambda *args, **keywords: called.append(function) or whole(*args, **keywords)
    )
    compiled = CALLS[function](images)
    assert called
    np.testing.assert_array_equal(images, plain)
    with kernel.disabled():
        np.testing.assert_array_equal(CALLS[function](plain), compiled)


@pytest.mark.parametrize("edge", ["nearest", "reflect"])
@pytest.mark.parametrize("shape", [(2, 9, 9), (1, 17, 17, 3), (3, 12, 20, 2)])
def test_gaussian(shape, edge):
    values = np.random.RandomState(9).standard_normal(shape)
    for sigma in (0.05, 0.4, 1.3, 2.2, 9.0):
        compiled = gaussian.gaussian(values, sigma, edge)
        with kernel.disabled():
            np.testing.assert_array_equal(gaussian.gaussian(values, sigma, edge), compiled)


def test_numbers():
    stream = np.random.RandomState(9)
    uniform = np.concatenate(
        [stream.random_sample(5000), 2.0 ** -stream.uniform(1, 54, 500), [2.0**-54, 0.5, 1 - 2.0**-53]]
    )
    levels = stream.randint(0, 256, uniform.size).astype(np.uint8)

    def made() -> list[np.ndarray]:
        counts = [poisson(uniform, levels, rate) for rate in (3.0, 60.0, 500.0)]
        stream = CounterStream(1, "fog", 1, [4, 5])
        return [quantile.normal(uniform), *counts, stream.uniform((1001,)), stream.normal((3, 5))]

    compiled = made()
    with kernel.disabled():
        for ours, theirs in zip(made(), compiled, strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_shuffle_and_warp_beyond_the_published_settings():
    images, stream = images_of(24, 3), np.random.RandomState(9)
    shifts = stream.randint(-5, 5, (3, 4, 14, 14, 2)).astype(np.int8)
    draws = stream.uniform(-30, 30, (3, 3, 2)), stream.uniform(-1, 1, (3, 2, 24, 24))
    compiled = shuffle(images, shifts, 5), elastic_transform(images, draws, Elastic(300.0, 1.0, 30.0))
    with kernel.disabled():
        np.testing.assert_array_equal(shuffle(images, shifts, 5), compiled[0])
        np.testing.assert_array_equal(elastic_transform(images, draws, Elastic(300.0, 1.0, 30.0)), compiled[1])


def test_chamfer():
    for share in (0.0, 0.001, 0.05, 1.0):
        found = np.random.RandomState(9).random_sample((3, 40, 33)) < share
        compiled = edges.chamfer(found)
        with kernel.disabled():
            np.testing.assert_array_equal(edges.chamfer(found), compiled)


PROGRAM = """
import numpy as np
from regrow.corruptions import corrupt, kernel
images = np.arange(2 * 32 * 32 * 3).reshape(2, 32, 32, 3).astype(np.uint8)
total = int(corrupt(images, 'zoom_blur', 3, mode='exact').sum())
print(kernel.status().active, total, kernel.status().detail)
"""


def started(tmp_path: Path, **environment: str) -> subprocess.Popen[str]:
    env = {**os.environ, "XDG_CACHE_HOME": str(tmp_path), **environment}
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env
    )


def said_by(process: subprocess.Popen[str]) -> list[str]:
    """Whether the compiled loops are in use, the sum of a result, and the reason."""
    out, error = process.communicate(timeout=120)
    assert (process.returncode, error) == (0, "")
    assert out.count("\n") == 1
    return out.strip().split(" ", 2)


def test_processes_that_begin_together_share_one_compiled_file(tmp_path):
    together = [started(tmp_path) for _ in range(3)]
    active, total, detail = said_by(together[0])
    assert active == "True"
    assert [said_by(other) for other in together[1:]] == [[active, total, detail]] * 2
    made = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert [path.suffix for path in made] == [".so"], "something unfinished was left"
    assert str(made[0]) in detail
    before = made[0].stat().st_mtime_ns, made[0].stat().st_ino
    assert said_by(started(tmp_path)) == [active, total, detail]
    assert (made[0].stat().st_mtime_ns, made[0].stat().st_ino) == before  # compiled once


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ({"CC": "/nonexistent/cc"}, "no C compiler"),
        ({"CC": "false"}, "false failed"),
        ({"REGROW_KERNEL": "off"}, "switched off by REGROW_KERNEL"),
        ({"XDG_CACHE_HOME": "a file"}, "failed"),
    ],
)
def test_without_the_compiled_loops_the_array_code_runs_and_says_so(tmp_path, setting, said):
    if "XDG_CACHE_HOME" in setting:
        (tmp_path / "a file").write_text("")
        setting = {"XDG_CACHE_HOME": str(tmp_path / "a file")}
    images = np.arange(2 * 32 * 32 * 3).reshape(2, 32, 32, 3).astype(np.uint8)
    active, total, detail = said_by(started(tmp_path, **setting))
    assert active == "False"
    assert int(total) == int(corrupt(images, "zoom_blur", 3, mode="exact").sum())
    assert said in detail
    assert not list(tmp_path.rglob("*.so"))


def test_blocks_without_the_loops_nest_and_end_with_an_error_too():
    def inside() -> None:
        with kernel.disabled():
            with kernel.disabled():
                assert kernel.library() is None
            assert kernel.library() is None
            raise KeyError

    with pytest.raises(KeyError):
        inside()
    assert kernel.library() is not None
    assert kernel.status().active
