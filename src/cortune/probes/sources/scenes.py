"""The simulator's labelled scenes, which are drawn and not read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from cortune.errors import InputError
from cortune.probes.sources import SCENES, LabelledFiles, ProbeSource, ProbeSpec, probe_source


@probe_source(SCENES)
class Scenes(ProbeSource):
    """Scenes that no data set and no pretraining shows (:mod:`cortune.simulate.scenes`)."""

    def listed(self, root: Path, split: str) -> LabelledFiles:
        """Refuse: there is nothing to list."""
        raise InputError("probes", f"files of kind {SCENES}", "none", "Ask for another kind.")

    def files(self, spec: ProbeSpec) -> list[Path]:
        """Return no file."""
        return []

    def problems(self, spec: ProbeSpec, shorter: int, max_files: int) -> Iterator[InputError]:
        """Yield what is wrong with the numbers of scenes and classes."""
        if spec.n_classes < 2 or spec.n_images < 2 * spec.n_classes:
            yield InputError(
                "probes",
                f"n_images: {spec.n_images} scenes of n_classes: {spec.n_classes}",
                "at least two classes and two scenes of each",
                "Raise n_images or n_classes.",
            )
