"""ImageNet (ILSVRC2012), as torchvision lays it out."""

from __future__ import annotations

from pathlib import Path

from cortune.errors import InputError
from cortune.probes.sources import LabelledFiles, ProbeSource, labelled, probe_source


@probe_source("imagenet")
class ImageNetSource(ProbeSource):
    """``<root>/<split>/<wnid>/<picture>``, and ``meta.bin`` for the names of classes."""

    layout = "meta.bin and <split>/<wnid>/*.JPEG"
    get = (
        "Get ILSVRC2012 (devkit and images) from image-net.org/download-images, place the "
        "archives in the root and open them once with torchvision.datasets.ImageNet(root, split), "
        "or use kind: image_folder on a folder of class folders."
    )

    def listed(self, root: Path, split: str) -> LabelledFiles:
        """List the pictures of a split."""
        meta = root / "meta.bin"
        # Without these torchvision would unpack archives, and write a pickle, into the root.
        for needed in (meta, root / split):
            if not needed.exists():
                raise InputError(needed, "nothing", "ImageNet as torchvision lays it out", self.get)
        from torchvision.datasets import ImageNet

        data = self.opened(ImageNet, root, split=split)
        names = [f"{wnid} {words[0]}" for wnid, words in zip(data.wnids, data.classes, strict=True)]
        return labelled(root, data.samples, names, [meta])
