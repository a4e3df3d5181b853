"""The configuration: models of its sections, from which its documentation is generated.

A section is a model of pydantic, with types, bounds, defaults and meanings of its keys; recipes
of tuning methods are defined beside the methods. ``workflow/schemas/config.schema.yaml`` and
``config/README.md`` are generated.
"""

from cortune.config.config import Config, ConfigError
from cortune.config.document import document, keys, schema
from cortune.config.sections import (
    AllLayers,
    Alphas,
    Cortex,
    Dataset,
    Encoding,
    Features,
    Landscape,
    Probe,
    Saliency,
    Similarity,
    SizeCurve,
    Split,
    Statistics,
    Transfer,
    TransferDataset,
    Tuning,
)
from cortune.tuning.methods.contrastive import Contrastive
from cortune.tuning.methods.contrastive_plus import ContrastivePlus
from cortune.tuning.methods.regression import Regression
from cortune.tuning.pretrain import Backbone, Pretrain

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
    "Similarity",
    "SizeCurve",
    "Split",
    "Statistics",
    "Transfer",
    "TransferDataset",
    "Tuning",
    "document",
    "keys",
    "schema",
]
