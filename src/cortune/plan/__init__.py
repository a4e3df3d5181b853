"""What a run will take, before anything runs: jobs, hours, disk.

Work is counted (forward passes, inner products, eigendecompositions, fits) and divided by
rates. CPU rates are those of ``make bench`` on two cores; no GPU was at hand, so that of a GPU
is an assumption, which the user can change.
"""

from cortune.plan.backbone import Shape, shape_of
from cortune.plan.estimate import Rates, StagePlan, describe, estimate
from cortune.plan.work import Count, Work

__all__ = [
    "Count",
    "Rates",
    "Shape",
    "StagePlan",
    "Work",
    "describe",
    "estimate",
    "shape_of",
]
