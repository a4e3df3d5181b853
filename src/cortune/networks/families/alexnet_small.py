"""The demo's network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cortune.networks.families import BackboneFamily, Preprocessing, backbone_family

if TYPE_CHECKING:
    from torch import nn


@backbone_family("alexnet_small")
class AlexNetSmallFamily(BackboneFamily):
    """The small AlexNet of :mod:`cortune.networks.alexnet_small`."""

    def names(self) -> list[str]:
        """Return its only name."""
        return ["alexnet_small"]

    def build(self, name: str, **options: Any) -> nn.Module:
        """Build it with random weights."""
        from cortune.networks.alexnet_small import AlexNetSmall

        return AlexNetSmall(**options)

    def preprocessing(self, name: str, weights: str) -> Preprocessing:
        """Return ImageNet's statistics at 64 pixels."""
        return Preprocessing(input_size=64, resize_size=73)
