"""From masks, weights and images to tables: where the weights are, and which frequencies a network needs.

Pure functions: nothing here reads or writes a file.
"""

from regrow.analysis.attenuation import Convention, Edge, attenuate, radial_mask, radial_weights
from regrow.analysis.fourier_basis import basis_images, distinct_frequencies
from regrow.analysis.frequencies import frequency_radii
from regrow.analysis.heat_map import heat_map, heat_map_summary
from regrow.analysis.radius import radius_accuracy, radius_curves, radius_summary, registered_radii
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

__all__ = [
    "Convention",
    "Dispersion",
    "Edge",
    "attenuate",
    "basis_images",
    "concentration",
    "dispersion",
    "distinct_frequencies",
    "effective_number",
    "frequency_radii",
    "gini",
    "heat_map",
    "heat_map_summary",
    "kernel_map",
    "kernel_maps",
    "kernel_sizes",
    "largest",
    "radial_mask",
    "radial_weights",
    "radius_accuracy",
    "radius_curves",
    "radius_summary",
    "registered_radii",
    "spatial_rows",
]
