"""Correct scans of scanners that nobody trained on, from image quality and anatomy."""

from isoscan.unseen.neuroharmony import Neuroharmony
from isoscan.unseen.outliers import OutlierRule, find_outliers
from isoscan.unseen.relative import relative_volumes
from isoscan.unseen.rois import intracranial_volume, neuroharmony_rois, sum_tissues
from isoscan.unseen.scanner import UnseenScanner
from isoscan.unseen.selection import Selection, select_sample
from isoscan.unseen.steps import StepCorrections, remove_in_steps

__all__ = [
    "Neuroharmony",
    "OutlierRule",
    "Selection",
    "StepCorrections",
    "UnseenScanner",
    "find_outliers",
    "intracranial_volume",
    "neuroharmony_rois",
    "relative_volumes",
    "remove_in_steps",
    "select_sample",
    "sum_tissues",
]
