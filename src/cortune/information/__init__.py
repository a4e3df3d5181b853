"""Mutual information between images and responses, bounded from below."""

from cortune.information.bounds import (
    InformationBound,
    cross_fitted_bound,
    fit_temperature,
    infonce_bound,
)
from cortune.information.stages import bound_information, cosine_similarities

__all__ = [
    "InformationBound",
    "bound_information",
    "cosine_similarities",
    "cross_fitted_bound",
    "fit_temperature",
    "infonce_bound",
]
