"""When updates are due: the count that is announced is the count that happens."""

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regrow.errors import InputError
from regrow.sparsity.schedules import Constant, Cosine, Epochs, Every, Never, Updates, Window

SHARES = st.integers(1, 20).map(lambda n: n / 20)


def due_steps(timing, total: int, per_epoch: int | None = None) -> list[int]:
    window = timing.window(total, per_epoch)
    return [t for t in range(total + 2) if window.due(t)]


@given(st.integers(1, 400), st.integers(1, 60), SHARES, SHARES)
def test_every_counts_what_happens(total: int, steps: int, one: float, other: float) -> None:
    start, stop = (0.0, one) if one == other else sorted((one, other))
    timing = Every(steps, stop=stop, start=start)
    expected = [t for t in range(1, total + 1) if t % steps == 0 and Fraction(str(start)) * total <= t]
    expected = [t for t in expected if t < Fraction(str(stop)) * total]
    assert due_steps(timing, total) == expected
    assert timing.window(total, None).count() == len(expected)


@given(st.integers(1, 3000), st.integers(1, 60), SHARES)
def test_updates_keeps_its_interval_formula(total: int, n: int, stop: float) -> None:
    window = Updates(n, stop=stop).window(total, None)
    assert window.interval == max(1, math.floor(total * Fraction(str(stop)) / n))
    assert window.count() == len(due_steps(Updates(n, stop=stop), total))


def test_settings_of_the_recipes() -> None:
    assert due_steps(Every(100, stop=0.75), 6400) == list(range(100, 4800, 100))
    assert due_steps(Updates(48, stop=0.75), 6400) == list(range(100, 4800, 100))
    assert due_steps(Epochs(1), 40, per_epoch=10) == [10, 20, 30]
    assert due_steps(Never(), 40) == []


def test_cosine() -> None:
    window = Every(100, stop=0.75).window(1000, None)
    values = [round(Cosine(0.3)(window.progress(t)), 6) for t in (100, 200, 375, 700, 750, 900)]
    assert values == [0.287032, 0.250370, 0.15, 0.003278, 0.0, 0.0]
    itop = [round(Cosine(0.5, end=0.005)(t / 1000), 6) for t in (100, 500, 1000)]
    assert itop == [0.487886, 0.2525, 0.005]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Cosine(30), "Did you mean 0.3"),
        (lambda: Constant(-0.1), r"in \[0, 1\], got -0.1"),
        (lambda: Every(0), "whole number >= 1, got 0"),
        (lambda: Updates(0), "number of updates"),
        (lambda: Every(10, stop=75), "0 <= start < stop <= 1"),
        (lambda: Epochs(1).window(100, None), "steps_per_epoch"),
    ],
)
def test_impossible_values_are_refused(make, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make()


FRACTIONS = st.fractions(0, 300, max_denominator=7)


@given(st.sampled_from([0, 1, 2, 3, 7, 50, 400]), FRACTIONS, FRACTIONS, st.sampled_from([0.1, 0.33, 0.5, 0.75, 1.0]))
def test_the_numbers_of_a_window_are_those_of_its_steps(interval, start, stop, until) -> None:
    window = Window(interval, start, stop)
    due = [t for t in range(400) if window.due(t)]
    assert window.steps() == due
    assert window.count() == len(due)
    assert window.last(until) == max((t for t in due if t <= stop * Fraction(str(until))), default=0)


def test_what_is_asked_at_every_step_does_not_count_through_the_updates() -> None:
    """A window of so many updates could not be listed."""
    window = Window(7, Fraction(0), Fraction(7 * 10**15))
    assert window.last() == 7 * (10**15 - 1)
    assert window.last(0.5) == 7 * 5 * 10**14
    assert window.count() == 10**15 - 1
    assert window.due(7 * 10**14)
