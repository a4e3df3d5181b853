"""Encoding models: responses predicted from features, and how well."""

from cortune.encoding.ceiling import (
    ceiling_r,
    ncsnr_from_repeats,
    noise_ceiling,
    noise_normalised_r2,
)
from cortune.encoding.comparison import compare_methods
from cortune.encoding.folds import PROTOCOLS, Plan, Split
from cortune.encoding.protocols import Settings, encode, encode_unit, size_curve
from cortune.encoding.results import (
    UnitEncoding,
    layer_summaries,
    read_encoding,
    summary,
    voxel_columns,
    write_encoding,
)

__all__ = [
    "PROTOCOLS",
    "Plan",
    "Settings",
    "Split",
    "UnitEncoding",
    "ceiling_r",
    "compare_methods",
    "encode",
    "encode_unit",
    "layer_summaries",
    "ncsnr_from_repeats",
    "noise_ceiling",
    "noise_normalised_r2",
    "read_encoding",
    "size_curve",
    "summary",
    "voxel_columns",
    "write_encoding",
]
