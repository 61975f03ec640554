"""Statistics of small numbers of runs: pure functions of arrays.

Differences over seeds, and over seeds and images at once; equivalence, exact tests, effect sizes, correction for
several tests; how many seeds an effect needs; rank correlation, means across scenarios, gap closure, and robustness
beyond accuracy. Nothing is judged from fewer than three runs.
"""

from regrow.statistics.accuracy_line import EffectiveRobustness, ResidualGain, effective_robustness, residual_gain
from regrow.statistics.crossed_effects import CrossedDifference, crossed
from regrow.statistics.effects import EffectSizes, effect_sizes
from regrow.statistics.gaps import GapClosure, gap_closure
from regrow.statistics.intervals import MeanInterval, binomial_se, mean_interval, wilson
from regrow.statistics.multiplicity import holm
from regrow.statistics.paired import (
    Equivalence,
    PairedDifference,
    WelchDifference,
    paired,
    tost,
    welch,
)
from regrow.statistics.permutation import SignFlip, sign_flip, wilcoxon
from regrow.statistics.random_effects import RandomEffects, hartung_knapp
from regrow.statistics.ranks import RankCorrelation, spearman
from regrow.statistics.sample_size import power, seeds_needed, seeds_to_see, smallest_effect
from regrow.statistics.selection import expected_maximum
from regrow.statistics.signs import McNemar, SignTest, mcnemar, sign_test
from regrow.statistics.unequal import SeedComparison, compare_by_seed

__all__ = [
    "CrossedDifference",
    "EffectSizes",
    "EffectiveRobustness",
    "Equivalence",
    "GapClosure",
    "McNemar",
    "MeanInterval",
    "PairedDifference",
    "RandomEffects",
    "RankCorrelation",
    "ResidualGain",
    "SeedComparison",
    "SignFlip",
    "SignTest",
    "WelchDifference",
    "binomial_se",
    "compare_by_seed",
    "crossed",
    "effect_sizes",
    "effective_robustness",
    "expected_maximum",
    "gap_closure",
    "hartung_knapp",
    "holm",
    "mcnemar",
    "mean_interval",
    "paired",
    "power",
    "residual_gain",
    "seeds_needed",
    "seeds_to_see",
    "sign_flip",
    "sign_test",
    "smallest_effect",
    "spearman",
    "tost",
    "welch",
    "wilcoxon",
    "wilson",
]
