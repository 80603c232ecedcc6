"""Covariates and a formula become numbers, the same way every time.

A design remembers what it saw in training: which columns are categories, their
levels, the state of transformations such as ``poly`` or ``bs``, and the range of
every number. It can be written to JSON and read back; nothing in it is executed.
"""

from isoscan.design.confounding import Confounding, find_confounding, require_identifiable
from isoscan.design.matrix import Design
from isoscan.design.smooth import SmoothDesign

__all__ = ["Confounding", "Design", "SmoothDesign", "find_confounding", "require_identifiable"]
