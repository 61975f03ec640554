"""The law of the noises against closed forms."""

import numpy as np
import pytest
from scipy import stats

from regrow.corruptions import corrupt
from regrow.corruptions.draws import poisson


def flat(level: int, n: int = 40) -> np.ndarray:
    return np.full((n, 32, 32, 3), level, np.uint8)


def test_gaussian_noise_has_its_mean_and_deviation():
    change = corrupt(flat(128), "gaussian_noise", 5).astype(float) - 128
    n = change.size
    sigma = 0.10 * 255
    assert abs(change.mean() + 0.5) < 5 * sigma / n**0.5  # cutting off takes half a level
    assert abs(change.std() / np.hypot(sigma, 12**-0.5) - 1) < 5 / (2 * n) ** 0.5
    assert (
        stats.kstest(change.ravel()[::7] + np.linspace(0, 1, len(change.ravel()[::7])), "norm", (0, sigma)).pvalue
        > 1e-4
    )


@pytest.mark.parametrize("level", [20, 128])
def test_shot_noise_is_poisson(level):
    photons = 50.0
    counts = corrupt(flat(level), "shot_noise", 5)
    n, rate = counts.size, level / 255 * photons
    values = np.floor(np.minimum(np.arange(200) / photons, 1) * 255).astype(np.uint8)
    law = np.bincount(values, stats.poisson.pmf(np.arange(200), rate), 256)
    seen = np.bincount(counts.ravel(), minlength=256)
    assert seen[law == 0].sum() == 0
    often = law * n > 20
    chi = ((seen[often] - law[often] * n) ** 2 / (law[often] * n)).sum()
    assert chi < stats.chi2.ppf(1 - 1e-6, often.sum())


def test_impulse_noise_hits_its_share_half_salt_half_pepper():
    noisy = corrupt(flat(100, 200), "impulse_noise", 5)
    n = noisy.size
    assert set(np.unique(noisy)) == {0, 100, 255}
    for value in (0, 255):
        assert abs((noisy == value).mean() - 0.035) < 5 * (0.035 / n) ** 0.5
    hit = noisy != 100
    assert abs((hit[..., 0] & hit[..., 1]).mean() - 0.07**2) < 5 * 0.07 / (n / 3) ** 0.5  # channels by themselves


@pytest.mark.parametrize("photons", [3.0, 50.0, 500.0])
def test_poisson_by_inversion_is_the_inverse_distribution_function(photons):
    stream = np.random.RandomState(0)
    levels = stream.randint(0, 256, 20_000).astype(np.uint8)
    uniform = stream.random_sample(20_000)
    uniform[:6] = [0.0, 2.0**-54, 1 - 2.0**-53, 1 / 1024, 0.5, 1 - 1 / 1024]
    counts = poisson(uniform, levels, photons)
    rates = levels / 255.0 * photons
    assert (counts[levels == 0] == 0).all()
    some = levels > 0
    above = stats.poisson.cdf(counts[some], rates[some])
    below = stats.poisson.cdf(counts[some] - 1, rates[some])
    assert (above > uniform[some] - 1e-12).all()
    assert (below <= uniform[some] + 1e-12).all()


def test_poisson_of_a_number_next_to_a_step():
    step = float(np.exp(-1.0))  # P(count = 0) at rate 1
    near = np.array([step - 1e-15, step + 1e-15])
    assert poisson(near, np.array([255, 255], np.uint8), 1.0).tolist() == [0, 1]
