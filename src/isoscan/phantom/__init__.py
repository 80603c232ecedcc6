"""Simulated data with known truth."""

from isoscan.phantom.scanners import ScannerPhantom, simulate_scanners
from isoscan.phantom.tables import TablePhantom, simulate_tables

__all__ = ["ScannerPhantom", "TablePhantom", "simulate_scanners", "simulate_tables"]
