"""The configuration: validated against the schema, and given types.

The schema (``workflow/schemas/config.schema.yaml``) is the single source of keys, defaults
and descriptions; :mod:`cortune.config.sections` gives its values types.
"""

from cortune.config.config import Config, ConfigError
from cortune.config.document import document
from cortune.config.schema import schema, schema_path
from cortune.config.sections import (
    AllLayers,
    Alphas,
    Backbone,
    Contrastive,
    ContrastivePlus,
    Cortex,
    Dataset,
    Encoding,
    Features,
    Landscape,
    Pretrain,
    Probe,
    Regression,
    Saliency,
    SizeCurve,
    Split,
    Statistics,
    Transfer,
    TransferDataset,
    Tuning,
)

__all__ = [
    "AllLayers",
    "Alphas",
    "Backbone",
    "Config",
    "ConfigError",
    "Contrastive",
    "ContrastivePlus",
    "Cortex",
    "Dataset",
    "Encoding",
    "Features",
    "Landscape",
    "Pretrain",
    "Probe",
    "Regression",
    "Saliency",
    "SizeCurve",
    "Split",
    "Statistics",
    "Transfer",
    "TransferDataset",
    "Tuning",
    "document",
    "schema",
    "schema_path",
]
