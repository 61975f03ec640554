"""From masks, weights and images to tables: where the weights are, which frequencies a network needs, where it looks.

Pure functions: nothing here reads or writes a file.
"""

from regrow.analysis.attribution import Attribution, grad_cam, integrated_gradients, spatial_layer
from regrow.analysis.attribution_twins import Twins, cosine, high_share, rank_correlation, twins
from regrow.analysis.spatial import (
    Dispersion,
    concentration,
    dispersion,
    effective_number,
    gini,
    kernel_map,
    kernel_maps,
    kernel_sizes,
    largest,
    spatial_rows,
)
from regrow.analysis.spectral import (
    Convention,
    attenuate,
    radial_mask,
    radius_accuracy,
    registered_radii,
)

__all__ = [
    "Attribution",
    "Convention",
    "Dispersion",
    "Twins",
    "attenuate",
    "concentration",
    "cosine",
    "dispersion",
    "effective_number",
    "gini",
    "grad_cam",
    "high_share",
    "integrated_gradients",
    "kernel_map",
    "kernel_maps",
    "kernel_sizes",
    "largest",
    "radial_mask",
    "radius_accuracy",
    "rank_correlation",
    "registered_radii",
    "spatial_layer",
    "spatial_rows",
    "twins",
]
