"""Places365, as torchvision lays it out."""

from __future__ import annotations

from pathlib import Path

from cortune.errors import InputError
from cortune.probes.sources import LabelledFiles, ProbeSource, labelled, probe_source


@probe_source("places365")
class Places365Source(ProbeSource):
    """Pictures of a split in one folder, named by the split's list; small or large ones."""

    layout = "categories_places365.txt, places365_<split>.txt and the folder of pictures"
    get = (
        "Get the file list and images of Places365 from places2.csail.mit.edu/download.html "
        "and unpack both in the root."
    )

    def listed(self, root: Path, split: str) -> LabelledFiles:
        """List the pictures of a split, the large ones where they are there."""
        from torchvision.datasets import Places365

        large = "val_large" if split == "val" else f"data_large_{split.removeprefix('train-')}"
        small = not (root / large).is_dir()
        data = self.opened(Places365, root, split=split, small=small, download=False)
        if not Path(data.images_dir).is_dir():
            raise InputError(data.images_dir, "no folder", "the pictures of the split", self.get)
        lists = [root / data._CATEGORIES_META[0], root / data._FILE_LIST_META[split][0]]
        return labelled(root, data.imgs, data.classes, lists)
