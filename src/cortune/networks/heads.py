"""Heads that join a backbone to responses while it is tuned."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from cortune.networks.backbones import class_scores
from cortune.networks.layers import features_of

IMAGE, RESPONSE, BOTH = "image", "response", "both"
NORMS: dict[str, Callable[[int], nn.Module]] = {"batch": nn.BatchNorm1d, "layer": nn.LayerNorm}
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": functional.relu,
    "gelu": functional.gelu,
}


@dataclass(frozen=True)
class Tagged:
    """Responses of one subject, in a batch that a model of several units is trained on.

    Parameters
    ----------
    parts : mapping of str to int
        Number of voxels V of each unit, by its name.
    values : Tensor of shape (n, sum of V)
        Units side by side.
    """

    parts: Mapping[str, int]
    values: Tensor

    def to(self, device: torch.device, non_blocking: bool = False) -> Tagged:
        """Return the responses on a device."""
        return Tagged(self.parts, self.values.to(device, non_blocking=non_blocking))

    def by_unit(self) -> dict[str, Tensor]:
        """Return the responses of each unit, (n, V)."""
        split = torch.split(self.values, list(self.parts.values()), dim=1)
        return dict(zip(self.parts, split, strict=True))


class Projection(nn.Module):
    """The MLP that both modalities pass: h, h, then z, the last layer without bias.

    Parameters
    ----------
    n_hidden, n_out : int
        h and z.
    norm : {"batch", "layer"}
    activation : {"relu", "gelu"}
    per_modality : bool
        Whether images and responses have norms of their own. With shared batch norms, as
        published, each modality is normalised by its own batch while training but by
        common running statistics afterwards.
    """

    def __init__(
        self,
        n_hidden: int,
        n_out: int,
        *,
        norm: str = "batch",
        activation: str = "relu",
        per_modality: bool = False,
    ) -> None:
        super().__init__()
        self.hidden = nn.ModuleList([nn.Linear(n_hidden, n_hidden) for _ in range(2)])
        self.out = nn.Linear(n_hidden, n_out, bias=False)
        self.norms = nn.ModuleDict(
            {
                name: nn.ModuleList([NORMS[norm](n_hidden) for _ in range(2)])
                for name in ((IMAGE, RESPONSE) if per_modality else (BOTH,))
            }
        )
        self.activation = ACTIVATIONS[activation]

    def forward(self, hidden: Tensor, modality: str) -> Tensor:
        """Project (n, h) to (n, z)."""
        norms: Any = self.norms[modality if modality in self.norms else BOTH]
        for index, layer in enumerate(self.hidden):
            hidden = self.activation(norms[index](layer(hidden)))
        return self.out(hidden)  # type: ignore[no-any-return]


class TunedModel(nn.Module):
    """A backbone, and what is mapped of it.

    Parameters
    ----------
    backbone : nn.Module
    image_layer : str, optional
        Layer of the backbone whose output is mapped in place of its class scores.
    """

    def __init__(self, backbone: nn.Module, image_layer: str | None = None) -> None:
        super().__init__()
        self.backbone = backbone
        self._layer_output: Tensor | None = None
        if image_layer is not None:
            layer = dict(backbone.named_modules())[image_layer]
            self._hook = layer.register_forward_hook(self._keep)

    def _keep(self, _layer: nn.Module, _inputs: Any, output: Any) -> None:
        # Copied: a later in-place ReLU would change it.
        self._layer_output = features_of(output).clone()

    def scores(self, images: Tensor) -> Tensor:
        """Return what is mapped of images (n, 3, s, s): (n, n_scores)."""
        scores = class_scores(self.backbone(images))
        if self._layer_output is not None:
            scores, self._layer_output = self._layer_output, None
        return scores


class ContrastiveModel(TunedModel):
    """A backbone, a linear map from its output and one from the responses, and an MLP.

    Images and responses are mapped to a common space of h dimensions without bias and
    pass the same MLP to z dimensions. Source: Mulrooney & Brockmeier 2024, section 2.

    Parameters
    ----------
    backbone : nn.Module
    n_scores : int
        Width of the backbone's output.
    n_voxels : int or mapping of str to int
        Number of voxels V; or of each unit, for a model of several, which has a response map
        for each.
    projection : Projection
        Its width is h.
    temperature : float, optional
        Start of a learned temperature; None where it is fixed.
    image_layer : str, optional
        Layer of the backbone whose output is mapped, of width `n_scores`, in place of its
        class scores.
    """

    def __init__(
        self,
        backbone: nn.Module,
        n_scores: int,
        n_voxels: int | Mapping[str, int],
        projection: Projection,
        temperature: float | None = None,
        image_layer: str | None = None,
    ) -> None:
        super().__init__(backbone, image_layer)
        n_hidden = projection.out.in_features
        self.image_map = nn.Linear(n_scores, n_hidden, bias=False)
        widths = n_voxels if isinstance(n_voxels, Mapping) else {BOTH: n_voxels}
        self.response_maps = nn.ModuleDict(
            {unit: nn.Linear(width, n_hidden, bias=False) for unit, width in widths.items()}
        )
        self.projection = projection
        if temperature is not None:
            self.log_temperature = nn.Parameter(torch.tensor(math.log(temperature)))

    def forward(self, images: Tensor, responses: Tensor | Tagged) -> tuple[Tensor, Tensor]:
        """Embed images (n, 3, s, s) and responses (n, V) of m units: (n, z) and (m n, z)."""
        return self.embed_images(images), self.embed_responses(responses)

    def embed_images(self, images: Tensor) -> Tensor:
        """Embed images (n, 3, s, s): (n, z)."""
        hidden = self.image_map(self.scores(images))
        return self.projection(hidden, IMAGE)  # type: ignore[no-any-return]

    def embed_responses(self, responses: Tensor | Tagged) -> Tensor:
        """Embed responses (n, V): (n, z); those of m units, one after another: (m n, z).

        Units pass the MLP together, so that its norms see in training what they see afterwards.
        """
        units = responses.by_unit() if isinstance(responses, Tagged) else {BOTH: responses}
        hidden = torch.cat([self.response_maps[unit](each) for unit, each in units.items()])
        return self.projection(hidden, RESPONSE)  # type: ignore[no-any-return]

    def temperature(self) -> Tensor:
        """Return the learned temperature, at least 0.01."""
        return self.log_temperature.clamp(min=math.log(0.01)).exp()


class RegressionModel(TunedModel):
    """A backbone and a linear map from its output, or a layer's, to the voxels.

    Source: the regression baseline of Mulrooney & Brockmeier 2024.
    """

    def __init__(
        self, backbone: nn.Module, n_scores: int, n_voxels: int, image_layer: str | None = None
    ) -> None:
        super().__init__(backbone, image_layer)
        self.response_map = nn.Linear(n_scores, n_voxels)

    def forward(self, images: Tensor) -> Tensor:
        """Predict responses to images (n, 3, s, s): (n, V)."""
        return self.response_map(self.scores(images))  # type: ignore[no-any-return]


def published_sizes(n_voxels: int) -> tuple[int, int]:
    """Return h = floor(0.8 V) and z = floor(0.2 V), at least 1: the paper's sizes."""
    return max(int(0.8 * n_voxels), 1), max(int(0.2 * n_voxels), 1)


def pooled_sizes(n_voxels: Sequence[int], largest: int | None = None) -> tuple[int, int]:
    """Return h, the mean V over subjects or `largest`, and z = floor(h / 4)."""
    n_hidden = largest if largest is not None else int(sum(n_voxels) / len(n_voxels))
    return max(n_hidden, 1), max(n_hidden // 4, 1)
