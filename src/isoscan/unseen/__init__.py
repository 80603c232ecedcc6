"""Correct scans of scanners that nobody trained on, from image quality and anatomy."""
