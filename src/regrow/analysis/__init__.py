"""From masks, weights and images to tables: where the weights are, and which frequencies a network needs.

Pure functions: nothing here reads or writes a file.
"""

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
    "Convention",
    "Dispersion",
    "attenuate",
    "concentration",
    "dispersion",
    "effective_number",
    "gini",
    "kernel_map",
    "kernel_maps",
    "kernel_sizes",
    "largest",
    "radial_mask",
    "radius_accuracy",
    "registered_radii",
    "spatial_rows",
]
