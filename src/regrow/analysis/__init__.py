"""From masks, weights and images to tables: where the weights are, and which frequencies a network needs.

Pure functions: nothing here reads or writes a file.
"""

from regrow.analysis.aliasing import aliased, measure_aliasing
from regrow.analysis.corruption_spectrum import by_share, change_spectrum, clean_spectrum, gain_against_share
from regrow.analysis.gradients import input_gradients, jacobian_norm
from regrow.analysis.kernel_spectrum import (
    density_relation,
    filter_shares,
    kernel_shares,
    kernel_spectra,
    no_spectrum,
)
from regrow.analysis.sharpness import hessian_eigenvalue, random_rise, worst_case_rise
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
    "aliased",
    "attenuate",
    "by_share",
    "change_spectrum",
    "clean_spectrum",
    "concentration",
    "density_relation",
    "dispersion",
    "effective_number",
    "filter_shares",
    "gain_against_share",
    "gini",
    "hessian_eigenvalue",
    "input_gradients",
    "jacobian_norm",
    "kernel_map",
    "kernel_maps",
    "kernel_shares",
    "kernel_sizes",
    "kernel_spectra",
    "largest",
    "measure_aliasing",
    "no_spectrum",
    "radial_mask",
    "radius_accuracy",
    "random_rise",
    "registered_radii",
    "spatial_rows",
    "worst_case_rise",
]
