"""Make multi-site MRI data comparable."""
