"""Heads that join a backbone to responses while it is tuned."""

from __future__ import annotations

from torch import Tensor, nn

from cortune.networks.backbones import class_scores


def projection(n_hidden: int, n_out: int) -> nn.Sequential:
    """Return the shared MLP of the published recipe: h, h, then z, the last without bias."""
    return nn.Sequential(
        nn.Linear(n_hidden, n_hidden),
        nn.BatchNorm1d(n_hidden),
        nn.ReLU(),
        nn.Linear(n_hidden, n_hidden),
        nn.BatchNorm1d(n_hidden),
        nn.ReLU(),
        nn.Linear(n_hidden, n_out, bias=False),
    )


class ContrastiveModel(nn.Module):
    """A backbone, a linear map from its output and one from the responses, and an MLP.

    Images and responses are mapped to a common space of h dimensions without bias and
    pass the same MLP to z dimensions. Source: Mulrooney & Brockmeier 2024, section 2.

    Parameters
    ----------
    backbone : nn.Module
    n_scores : int
        Width of the backbone's output.
    n_voxels : int
        Number of voxels V; h = floor(0.8 V) and z = floor(0.2 V), at least 1.
    """

    def __init__(self, backbone: nn.Module, n_scores: int, n_voxels: int) -> None:
        super().__init__()
        n_hidden = max(int(0.8 * n_voxels), 1)
        n_out = max(int(0.2 * n_voxels), 1)
        self.backbone = backbone
        self.image_map = nn.Linear(n_scores, n_hidden, bias=False)
        self.response_map = nn.Linear(n_voxels, n_hidden, bias=False)
        self.projection = projection(n_hidden, n_out)

    def forward(self, images: Tensor, responses: Tensor) -> tuple[Tensor, Tensor]:
        """Embed images (n, 3, s, s) and responses (n, V): two tensors (n, z)."""
        image_z = self.projection(self.image_map(class_scores(self.backbone(images))))
        response_z = self.projection(self.response_map(responses))
        return image_z, response_z
