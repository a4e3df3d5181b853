"""Readers whose ROIs are labels in the mask families of NSD and Algonauts."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cortune.data.problems import AGAIN, Problems, count, some
from cortune.data.readers import Reader
from cortune.data.rois import FAMILIES, HEMISPHERES, UNKNOWN
from cortune.errors import InputError


@dataclass(frozen=True)
class FamilyReader(Reader):
    """Reader whose every vertex has a label in each family of :data:`FAMILIES`."""

    @abstractmethod
    def _names_file(self, subject: str, family: str) -> Path:
        """Return the file of a family's names."""

    @abstractmethod
    def _names(self, subject: str, family: str) -> Mapping[int, str]:
        """Return the ROI of each label; 0 is none."""

    @abstractmethod
    def _labels_file(self, subject: str, hemisphere: str, family: str) -> Path:
        """Return the file of a family's labels."""

    @abstractmethod
    def _labels(self, subject: str, hemisphere: str, family: str) -> NDArray[np.int64]:
        """Return the label of every vertex."""

    def roi_sizes(self, subject: str, hemisphere: str) -> dict[str, int]:
        """Return the number of vertices of each ROI, empty ones included."""
        return {name: len(where) for name, where in self._rois(subject, hemisphere).items()}

    def facts(self, subject: str) -> dict[str, str]:
        """Return the noise ceilings beside the rest."""
        ceilings = [self._ceiling(subject, hemisphere) for hemisphere in HEMISPHERES]
        known = [values[np.isfinite(values)] for values in ceilings if values is not None]
        medians = [f"{np.median(values):.2f}" for values in known if len(values)]
        return {**super().facts(subject), "noise ceiling, median": " ".join(medians) or "none"}

    @abstractmethod
    def _ceiling(self, subject: str, hemisphere: str) -> NDArray[np.float32] | None:
        """Return the noise ceilings as shares of variance, as far as files have them."""

    def _rois(self, subject: str, hemisphere: str) -> dict[str, NDArray[np.int64]]:
        """Return the vertices of every ROI of every family, ascending.

        Raises
        ------
        InputError
            If labels or names are missing or damaged, a label has no name, or two families
            have an ROI of the same name.
        """
        rois: dict[str, NDArray[np.int64]] = {}
        for family in FAMILIES:
            found = self._family(subject, hemisphere, family)
            if repeated := set(found) & set(rois):
                raise InputError(
                    self._names_file(subject, family),
                    f"the ROI {min(repeated)!r}, which another family has too",
                    "each name in one family",
                    AGAIN,
                )
            rois |= found
        return rois

    def _family(self, subject: str, hemisphere: str, family: str) -> dict[str, NDArray[np.int64]]:
        labels = self._labels(subject, hemisphere, family)
        names = self._names(subject, family)
        if unnamed := sorted(set(np.unique(labels).tolist()) - set(names) - {0}):
            raise InputError(
                self._labels_file(subject, hemisphere, family),
                f"{count(unnamed, 'label')} without a name: {some(unnamed)}",
                f"the labels of {self._names_file(subject, family).name}: {some(sorted(names), 9)}",
                AGAIN,
            )
        return {name: np.flatnonzero(labels == label) for label, name in names.items() if label}

    def _family_files(self, subject: str, hemisphere: str) -> list[Path]:
        return [
            *(self._labels_file(subject, hemisphere, family) for family in FAMILIES),
            *(self._names_file(subject, family) for family in FAMILIES),
        ]

    def _inspect_rois(self, subject: str, log: Problems) -> set[str]:
        """Log every problem of labels and names and return the ROIs."""
        known: set[str] = set()
        for family in FAMILIES:
            names = log.attempt(self._names, subject, family)
            known |= set(FAMILIES[family] if names is None else names.values()) - {UNKNOWN}
        for hemisphere in HEMISPHERES:
            n_logged = len(log.messages)
            for family in FAMILIES:
                log.attempt(self._family, subject, hemisphere, family)
            if len(log.messages) == n_logged:  # else the same again
                log.attempt(self._rois, subject, hemisphere)
        return known
