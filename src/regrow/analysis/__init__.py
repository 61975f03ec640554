"""From masks, weights and images to tables: where the weights are, and which frequencies a network needs.

Pure functions: nothing here reads or writes a file.
"""

from regrow.analysis.aliasing import (
    aliased,
    measure_aliasing,
)
from regrow.analysis.attenuation import (
    Convention,
    Edge,
    attenuate,
    radial_mask,
    radial_weights,
)
from regrow.analysis.corruption_spectrum import (
    by_share,
    change_spectrum,
    clean_spectrum,
    gain_against_share,
)
from regrow.analysis.fourier_basis import (
    basis_images,
    distinct_frequencies,
)
from regrow.analysis.frequencies import (
    frequency_radii,
)
from regrow.analysis.gradients import (
    input_gradients,
    jacobian_norm,
)
from regrow.analysis.heat_map import (
    heat_map,
    heat_map_summary,
)
from regrow.analysis.kernel_spectrum import (
    density_relation,
    filter_shares,
    kernel_shares,
    kernel_spectra,
    no_spectrum,
)
from regrow.analysis.radius import (
    radius_accuracy,
    radius_curves,
    radius_summary,
    registered_radii,
)
from regrow.analysis.sharpness import (
    hessian_eigenvalue,
    random_rise,
    worst_case_rise,
)
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
    "aliased",
    "attenuate",
    "basis_images",
    "by_share",
    "change_spectrum",
    "clean_spectrum",
    "concentration",
    "density_relation",
    "dispersion",
    "distinct_frequencies",
    "effective_number",
    "filter_shares",
    "frequency_radii",
    "gain_against_share",
    "gini",
    "heat_map",
    "heat_map_summary",
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
    "radial_weights",
    "radius_accuracy",
    "radius_curves",
    "radius_summary",
    "random_rise",
    "registered_radii",
    "spatial_rows",
    "worst_case_rise",
]
