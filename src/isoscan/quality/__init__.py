"""Image quality metrics of T1-weighted images, under MRIQC's names."""

from isoscan.quality.definitions import DEFINITIONS, METRICS, Definition
from isoscan.quality.image import image_quality
from isoscan.quality.inputs import QualityInputs
from isoscan.quality.metrics import measure
from isoscan.quality.sentinels import sentinels_to_missing
from isoscan.quality.table import gather_images, write_group, write_image

__all__ = [
    "DEFINITIONS",
    "METRICS",
    "Definition",
    "QualityInputs",
    "gather_images",
    "image_quality",
    "measure",
    "sentinels_to_missing",
    "write_group",
    "write_image",
]
