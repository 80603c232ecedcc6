"""Say what was found in one HTML file that works anywhere, and in figures."""

from isoscan.report.facts import collect_facts
from isoscan.report.figures import plot_feature, plot_ks_matrix, plot_site_effects, plot_slopes
from isoscan.report.individuals import leave_out_individuals
from isoscan.report.models import describe_columns, describe_model
from isoscan.report.page import render_report, write_report

__all__ = [
    "collect_facts",
    "describe_columns",
    "describe_model",
    "leave_out_individuals",
    "plot_feature",
    "plot_ks_matrix",
    "plot_site_effects",
    "plot_slopes",
    "render_report",
    "write_report",
]
