"""Where a network keeps its weights: how unevenly, how unlike chance, which filters are dead, and how masks move.

A kernel is the weights between one input and one output channel: k x k of a convolution, one weight of a linear layer.
Counts of active weights and sums of |w| are taken per output filter, per input channel and per kernel, and compared
with what the same weights in uniformly random places would give.
"""

from regrow.analysis.spatial.correlation import RankCorrelation, filter_correlations, rank_correlation
from regrow.analysis.spatial.evenness import Dispersion, dispersion, dispersion_sd, effective_number, gini
from regrow.analysis.spatial.exploration import expected_itop, itop_curves
from regrow.analysis.spatial.kernels import (
    KernelMass,
    kernel_map,
    kernel_maps,
    kernel_mass,
    kernel_sizes,
    largest,
    magnitude_masks,
)
from regrow.analysis.spatial.layers import empty_groups, layer_rows
from regrow.analysis.spatial.overlap import film_overlap, kernel_frames, mask_overlap, seed_overlap
from regrow.analysis.spatial.spread import FEWEST_NULL_MASKS, concentration, spatial_rows, spatial_summary

__all__ = [
    "FEWEST_NULL_MASKS",
    "Dispersion",
    "KernelMass",
    "RankCorrelation",
    "concentration",
    "dispersion",
    "dispersion_sd",
    "effective_number",
    "empty_groups",
    "expected_itop",
    "film_overlap",
    "filter_correlations",
    "gini",
    "itop_curves",
    "kernel_frames",
    "kernel_map",
    "kernel_maps",
    "kernel_mass",
    "kernel_sizes",
    "largest",
    "layer_rows",
    "magnitude_masks",
    "mask_overlap",
    "rank_correlation",
    "seed_overlap",
    "spatial_rows",
    "spatial_summary",
]
