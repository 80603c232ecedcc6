"""The figures of the paper on Neuroharmony, for any sample: each draws on `ax`, returns it."""

from isoscan.report.neuroharmony.distributions import plot_correlations, plot_distributions
from isoscan.report.neuroharmony.flow import plot_data_flow
from isoscan.report.neuroharmony.p_values import plot_smallest_p, plot_validation_p
from isoscan.report.neuroharmony.sample import plot_ages, plot_scanners, plot_sexes
from isoscan.report.neuroharmony.strength import plot_contributions, plot_correction_ratios

__all__ = [
    "plot_ages",
    "plot_contributions",
    "plot_correction_ratios",
    "plot_correlations",
    "plot_data_flow",
    "plot_distributions",
    "plot_scanners",
    "plot_sexes",
    "plot_smallest_p",
    "plot_validation_p",
]
