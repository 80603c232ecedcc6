"""Simulated data with known truth."""

from isoscan.phantom.tables import TablePhantom, simulate_tables

__all__ = ["TablePhantom", "simulate_tables"]
