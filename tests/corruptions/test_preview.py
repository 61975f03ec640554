"""The strip of one picture under all corruptions and severities."""

import numpy as np
import pytest

from regrow.corruptions import corrupt, names
from regrow.corruptions.writer import preview
from regrow.errors import InputError

IMAGE = np.random.RandomState(1).randint(0, 256, (48, 48, 3)).astype(np.uint8)


def test_cells_hold_the_corrupted_pictures_enlarged_by_whole_factors():
    strip = preview(IMAGE, ["contrast", "gaussian_noise"], (2, 5), seed=3)
    assert strip.dtype == np.uint8
    left, top, pitch = 190, 30, 2 * 48 + 4
    assert strip.shape == (top + 2 * pitch, left + 3 * pitch, 3)
    for row, name in enumerate(["contrast", "gaussian_noise"]):
        expected = [
            IMAGE[None],
            *(corrupt(IMAGE[None], name, severity, seed=3, mode="exact") for severity in (2, 5)),
        ]
        for column, cell in enumerate(expected):
            y, x = top + row * pitch, left + column * pitch
            np.testing.assert_array_equal(strip[y : y + 96 : 2, x : x + 96 : 2], cell[0])
            np.testing.assert_array_equal(strip[y + 1 : y + 96 : 2, x + 1 : x + 96 : 2], cell[0])


def test_every_row_and_column_has_a_label():
    strip = preview(IMAGE, ["all"], (1,))
    assert strip.shape[0] == 30 + len(names()) * 100
    for row in range(len(names())):
        assert strip[30 + row * 100 : 126 + row * 100, :180].min() < 100, names()[row]
    for column in range(2):
        assert strip[:30, 190 + column * 100 : 286 + column * 100].min() < 100


def test_pictures_that_cannot_be_corrupted_are_refused():
    with pytest.raises(InputError, match="must be square"):
        preview(IMAGE[:20])
    with pytest.raises(InputError, match="unknown corruption"):
        preview(IMAGE, ["fogg"])
