"""SUN397, as torchvision lays it out."""

from __future__ import annotations

from pathlib import Path

from cortune.probes.sources import LabelledFiles, ProbeSource, labelled, probe_source


@probe_source("sun397")
class Sun397Source(ProbeSource):
    """``<root>/SUN397/<letter>/<class>/<picture>``, and the list of classes."""

    layout = "SUN397/ClassName.txt and SUN397/<letter>/<class>/sun_*.jpg"
    get = "Get SUN397.tar.gz from vision.princeton.edu/projects/2010/SUN and unpack it in the root."

    def listed(self, root: Path, split: str) -> LabelledFiles:
        """List the pictures; `split` does not count."""
        from torchvision.datasets import SUN397

        data = self.opened(SUN397, root, download=False)
        pairs = sorted(zip(data._image_files, data._labels, strict=True))
        return labelled(root, pairs, data.classes, [root / "SUN397" / "ClassName.txt"])
