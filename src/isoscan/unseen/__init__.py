"""Correct scans of scanners that nobody trained on, from image quality and anatomy."""

from isoscan.unseen.neuroharmony import Neuroharmony

__all__ = ["Neuroharmony"]
