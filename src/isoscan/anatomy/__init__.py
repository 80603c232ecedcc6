"""The anatomy of one T1-weighted head: brain, tissues, and its place in a template."""

from isoscan.anatomy.anatomy import Anatomy
from isoscan.anatomy.prepare import prepare_t1

__all__ = ["Anatomy", "prepare_t1"]
