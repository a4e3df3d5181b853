"""Saliency: where networks look for their classes, and to which side of the image."""

from cortune.saliency.laterality import laterality_index
from cortune.saliency.maps import (
    SaliencyJob,
    SaliencyResult,
    SaliencySettings,
    map_saliency,
    read_saliency,
    saliency_rows,
)
from cortune.saliency.tables import hemisphere_tests, lateralization, tabulate_lateralization

__all__ = [
    "SaliencyJob",
    "SaliencyResult",
    "SaliencySettings",
    "hemisphere_tests",
    "laterality_index",
    "lateralization",
    "map_saliency",
    "read_saliency",
    "saliency_rows",
    "tabulate_lateralization",
]
