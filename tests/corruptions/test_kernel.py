"""The compiled loops: same bytes as the array code, and what happens where they cannot be had."""

import os
import subprocess
import sys

import numpy as np
import pytest

from regrow.corruptions import corrupt, edges, gaussian, get, kernel, names, quantile
from regrow.corruptions.draws import CounterStream, poisson
from regrow.corruptions.elastic import Elastic, elastic_transform
from regrow.corruptions.glass import shuffle

if not kernel.status().active:
    pytest.skip(f"no compiled loops here: {kernel.status().detail}", allow_module_level=True)

STREAM = np.random.RandomState(8)


def images_of(side: int, n: int = 3) -> np.ndarray:
    noise = STREAM.randint(0, 256, (n, side, side, 3)).astype(np.uint8)
    noise[0] = (noise[0] > 127) * 255
    noise[1] = (200, 7, 131)
    noise[1, side // 3 :, side // 2 :] = 0
    return noise


@pytest.mark.parametrize("side", [8, 9, 31, 32, 47, 100])
@pytest.mark.parametrize("name", names(None))
def test_the_same_bytes_without_the_compiled_loops(name, side):
    images = images_of(side)
    for scale in get(name).settings:
        for severity in (1, 2, 3, 4, 5):
            compiled = corrupt(images, name, severity, mode="exact", scale=scale)
            with kernel.disabled():
                np.testing.assert_array_equal(corrupt(images, name, severity, mode="exact", scale=scale), compiled)


@pytest.mark.parametrize("edge", ["nearest", "reflect"])
@pytest.mark.parametrize("shape", [(2, 9, 9), (1, 17, 17, 3), (3, 12, 20, 2)])
def test_gaussian(shape, edge):
    values = STREAM.standard_normal(shape)
    for sigma in (0.05, 0.4, 1.3, 2.2, 9.0):
        compiled = gaussian.gaussian(values, sigma, edge)
        with kernel.disabled():
            np.testing.assert_array_equal(gaussian.gaussian(values, sigma, edge), compiled)


def test_numbers():
    uniform = np.concatenate(
        [STREAM.random_sample(5000), 2.0 ** -STREAM.uniform(1, 54, 500), [2.0**-54, 0.5, 1 - 2.0**-53]]
    )
    levels = STREAM.randint(0, 256, uniform.size).astype(np.uint8)

    def made() -> list[np.ndarray]:
        counts = [poisson(uniform, levels, rate) for rate in (3.0, 60.0, 500.0)]
        stream = CounterStream(1, "fog", 1, [4, 5])
        return [quantile.normal(uniform), *counts, stream.uniform((1001,)), stream.normal((3, 5))]

    compiled = made()
    with kernel.disabled():
        for ours, theirs in zip(made(), compiled, strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_shuffle_and_warp_beyond_the_published_settings():
    images = images_of(24)
    shifts = STREAM.randint(-5, 5, (3, 4, 14, 14, 2)).astype(np.int8)
    draws = STREAM.uniform(-30, 30, (3, 3, 2)), STREAM.uniform(-1, 1, (3, 2, 24, 24))
    compiled = shuffle(images, shifts, 5), elastic_transform(images, draws, Elastic(300.0, 1.0, 30.0))
    with kernel.disabled():
        np.testing.assert_array_equal(shuffle(images, shifts, 5), compiled[0])
        np.testing.assert_array_equal(elastic_transform(images, draws, Elastic(300.0, 1.0, 30.0)), compiled[1])


def test_chamfer():
    for share in (0.0, 0.001, 0.05, 1.0):
        found = STREAM.random_sample((3, 40, 33)) < share
        compiled = edges.chamfer(found)
        with kernel.disabled():
            np.testing.assert_array_equal(edges.chamfer(found), compiled)


def in_a_new_process(tmp_path, **environment: str) -> str:
    code = (
        "import numpy as np\nfrom regrow.corruptions import corrupt, kernel\n"
        "images = np.arange(2 * 32 * 32 * 3).reshape(2, 32, 32, 3).astype(np.uint8)\n"
        "total = int(corrupt(images, 'zoom_blur', 3, mode='exact').sum())\n"
        "print(kernel.status().active, total, kernel.status().detail)"
    )
    env = {**os.environ, "XDG_CACHE_HOME": str(tmp_path), **environment}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_without_a_compiler_the_array_code_runs_and_says_so(tmp_path):
    active, total, detail = in_a_new_process(tmp_path).split(" ", 2)
    assert active == "True"
    made = list(tmp_path.rglob("*.so"))
    assert len(made) == 1
    assert str(made[0]) in detail
    before = made[0].stat().st_mtime_ns
    assert in_a_new_process(tmp_path).split(" ")[:2] == ["True", total]
    assert made[0].stat().st_mtime_ns == before  # compiled once
    unwritable = tmp_path / "file"
    unwritable.write_text("")
    for setting, said in (
        ({"CC": "/nonexistent/cc"}, "no C compiler"),
        ({"CC": "false"}, "failed"),
        ({"REGROW_KERNEL": "off"}, "REGROW_KERNEL"),
        ({"XDG_CACHE_HOME": str(unwritable)}, "failed"),
    ):
        active, other, detail = in_a_new_process(tmp_path, **setting).split(" ", 2)
        assert (active, other) == ("False", total)
        assert said in detail
