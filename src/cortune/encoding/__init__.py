"""Encoding models: responses predicted from features, and how well."""

from cortune.encoding.ceiling import ceiling_r, noise_normalised_r2
from cortune.encoding.comparison import compare_methods
from cortune.encoding.folds import PROTOCOLS, Plan, Split
from cortune.encoding.protocols import Settings, encode, encode_unit, size_curve
from cortune.encoding.results import (
    UnitEncoding,
    layer_summaries,
    read_encoding,
    read_partition,
    summary,
    voxel_columns,
    write_encoding,
)
from cortune.encoding.scores import mean_over_targets

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
    "mean_over_targets",
    "noise_normalised_r2",
    "read_encoding",
    "read_partition",
    "size_curve",
    "summary",
    "voxel_columns",
    "write_encoding",
]
