"""Statistics of small numbers of runs: pure functions of arrays.

Paired differences over seeds with their t interval, equivalence, exact permutation, effect sizes, correction for
several tests, and intervals of a mean and of a share. Nothing is judged from fewer than three runs.
"""

from regrow.statistics.effects import EffectSizes, effect_sizes
from regrow.statistics.intervals import MeanInterval, mean_interval, wilson
from regrow.statistics.multiplicity import holm
from regrow.statistics.paired import (
    Equivalence,
    PairedDifference,
    WelchDifference,
    paired,
    tost,
    welch,
)
from regrow.statistics.permutation import SignFlip, sign_flip

__all__ = [
    "EffectSizes",
    "Equivalence",
    "MeanInterval",
    "PairedDifference",
    "SignFlip",
    "WelchDifference",
    "effect_sizes",
    "holm",
    "mean_interval",
    "paired",
    "sign_flip",
    "tost",
    "welch",
    "wilson",
]
