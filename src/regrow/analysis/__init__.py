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
from regrow.analysis.attribution import (
    Attribution,
    grad_cam,
    integrated_gradients,
    spatial_layer,
)
from regrow.analysis.attribution_twins import (
    Twins,
    cosine,
    high_share,
    map_rank_correlation,
    twins,
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
from regrow.analysis.frequency_reliance import (
    Sides,
    frequency_sides,
    reliance_report,
    unseen,
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
    FEWEST_NULL_MASKS,
    Dispersion,
    KernelMass,
    RankCorrelation,
    concentration,
    dispersion,
    dispersion_sd,
    effective_number,
    empty_groups,
    expected_itop,
    film_overlap,
    filter_correlations,
    gini,
    itop_curves,
    kernel_frames,
    kernel_map,
    kernel_maps,
    kernel_mass,
    kernel_sizes,
    largest,
    layer_rows,
    magnitude_masks,
    mask_overlap,
    rank_correlation,
    seed_overlap,
    spatial_rows,
    spatial_summary,
)

__all__ = [
    "FEWEST_NULL_MASKS",
    "Attribution",
    "Convention",
    "Dispersion",
    "Edge",
    "KernelMass",
    "RankCorrelation",
    "Sides",
    "Twins",
    "aliased",
    "attenuate",
    "basis_images",
    "by_share",
    "change_spectrum",
    "clean_spectrum",
    "concentration",
    "cosine",
    "density_relation",
    "dispersion",
    "dispersion_sd",
    "distinct_frequencies",
    "effective_number",
    "empty_groups",
    "expected_itop",
    "film_overlap",
    "filter_correlations",
    "filter_shares",
    "frequency_radii",
    "frequency_sides",
    "gain_against_share",
    "gini",
    "grad_cam",
    "heat_map",
    "heat_map_summary",
    "hessian_eigenvalue",
    "high_share",
    "input_gradients",
    "integrated_gradients",
    "itop_curves",
    "jacobian_norm",
    "kernel_frames",
    "kernel_map",
    "kernel_maps",
    "kernel_mass",
    "kernel_shares",
    "kernel_sizes",
    "kernel_spectra",
    "largest",
    "layer_rows",
    "magnitude_masks",
    "map_rank_correlation",
    "mask_overlap",
    "measure_aliasing",
    "no_spectrum",
    "radial_mask",
    "radial_weights",
    "radius_accuracy",
    "radius_curves",
    "radius_summary",
    "random_rise",
    "rank_correlation",
    "registered_radii",
    "reliance_report",
    "seed_overlap",
    "spatial_layer",
    "spatial_rows",
    "spatial_summary",
    "twins",
    "unseen",
    "worst_case_rise",
]
