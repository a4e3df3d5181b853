"""One network for all ROIs, where the others have one for each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from cortune.section import Count
from cortune.tuning.methods import EVERY_ROI, method
from cortune.tuning.methods.contrastive_plus import ContrastivePlus, plus_contrastive

if TYPE_CHECKING:
    from torch import nn

    from cortune.tuning.task import Task


class Joint(ContrastivePlus):
    """Our recipe of networks that are tuned to all ROIs at once.

    The keys of `contrastive_plus`, and the width of what all ROIs share.
    """

    hidden_size: Count = 512
    """Width h of the shared MLP, to which images and the responses of every ROI are mapped; of
    `contrastive_plus` it is four fifths of the ROI's voxels."""


@method("joint", recipe=Joint, order=33, colour="#b03a5b", joins=EVERY_ROI)
@method(
    "joint_hemisphere",
    about="As `joint`, one network for each hemisphere, which can be compared; ours.",
    recipe=Joint,
    section="joint",
    order=34,
    colour="#d98aa3",
    joins=("roi",),
)
@method(
    "joint_pooled",
    about="As `joint`, one network for all ROIs of all subjects; ours.",
    recipe=Joint,
    section="joint",
    order=55,
    colour="#7a1f3d",
    pools="all",
    joins=EVERY_ROI,
)
def joint(backbone: nn.Module, n_scores: int, n_voxels: Mapping[str, int], recipe: Joint) -> Task:
    """One network for all ROIs of a subject in both hemispheres; ours.

    As `contrastive_plus`, with a response map for each ROI and hemisphere. The loss is the mean
    over them.
    """
    sizes = recipe.hidden_size, recipe.embedding_size or max(recipe.hidden_size // 4, 1)
    return plus_contrastive(backbone, n_scores, n_voxels, recipe, sizes)
