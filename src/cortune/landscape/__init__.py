"""The landscape of all networks: how differently they predict, and how they cluster."""

from cortune.landscape.dissimilarity import (
    IGNORANCE,
    TRUTH,
    Dissimilarity,
    bhattacharyya,
    bhattacharyya_of_blocks,
    mean_dissimilarity,
    with_references,
)
from cortune.landscape.embeddings import Space, embed
from cortune.landscape.inpca import InPCA, inpca
from cortune.landscape.predictions import Model, Predictions, open_predictions
from cortune.landscape.stages import (
    Settings,
    compare_predictions,
    embed_networks,
    read_dissimilarity,
)
from cortune.landscape.statistics import (
    Closeness,
    average_linkage,
    closeness_by_factor,
    closeness_test,
)

__all__ = [
    "IGNORANCE",
    "TRUTH",
    "Closeness",
    "Dissimilarity",
    "InPCA",
    "Model",
    "Predictions",
    "Settings",
    "Space",
    "average_linkage",
    "bhattacharyya",
    "bhattacharyya_of_blocks",
    "closeness_by_factor",
    "closeness_test",
    "compare_predictions",
    "embed",
    "embed_networks",
    "inpca",
    "mean_dissimilarity",
    "open_predictions",
    "read_dissimilarity",
    "with_references",
]
