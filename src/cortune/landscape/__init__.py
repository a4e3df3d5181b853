"""The landscape of all networks: how differently they predict, and how they cluster."""

from cortune.landscape.stages import Settings, embed_networks

__all__ = ["Settings", "embed_networks"]
