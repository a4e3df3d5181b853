"""Image networks: backbones, their named layers, and how they are saved."""
