"""Image quality metrics of T1-weighted images, under MRIQC's names."""
