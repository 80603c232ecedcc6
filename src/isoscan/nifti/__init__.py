"""NIfTI maps: every byte checked before it is believed, one grid compared with another."""
