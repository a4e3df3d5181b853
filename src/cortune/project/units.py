"""Units: which subjects, hemispheres and ROIs are analysed."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

from cortune.data.problems import some
from cortune.data.rois import GROUPS, HEMISPHERES, select_rois
from cortune.errors import InputError
from cortune.project.datasets import DataSets
from cortune.project.records import Skipped, Unit
from cortune.versions import LOSO


class Units(DataSets):
    """Units of the data set that networks are tuned on."""

    @cached_property
    def units(self) -> list[Unit]:
        """Units of the tuning data set that are large enough to analyse.

        Raises
        ------
        InputError
            If none is.
        """
        units = [unit for unit, reason in self._all_units() if reason is None]
        if not units:
            reasons = list(dict.fromkeys(f"{s.roi}: {s.reason}" for s in self.skipped))
            raise InputError(
                f"datasets.{self.dataset}.rois",
                "no ROI with enough voxels in any subject and hemisphere "
                f"({some(reasons) or 'none is asked for'})",
                f"at least one with {self.config.tuning.min_voxels} (tuning.min_voxels)",
                "Choose other ROIs or lower tuning.min_voxels.",
            )
        return units

    @cached_property
    def skipped(self) -> list[Skipped]:
        """Units that are not analysed, and why."""
        return [
            Skipped(self.dataset, unit.subject, unit.hemisphere, unit.roi, reason)
            for unit, reason in self._all_units()
            if reason is not None
        ]

    def _all_units(self) -> Iterator[tuple[Unit, str | None]]:
        wanted = self.config.datasets[self.dataset].rois
        least = self.config.tuning.min_voxels
        for subject in self.subjects(self.dataset):
            for hemisphere in HEMISPHERES:
                sizes = self.roi_sizes(self.dataset, subject, hemisphere)
                for roi in select_rois(wanted, sizes):
                    n_voxels = sizes.get(roi, 0)
                    reason = None
                    if roi not in sizes:
                        reason = "no mask of this subject names the ROI"
                    elif n_voxels == 0:
                        reason = "the ROI is empty"
                    elif n_voxels < least:
                        reason = f"{n_voxels} voxels, fewer than tuning.min_voxels = {least}"
                    yield Unit(subject, hemisphere, roi, n_voxels), reason

    def pooled_subjects(self, hemisphere: str, roi: str, without: str | None = None) -> list[str]:
        """Return the subjects whose ROI a pooled network is tuned to, one left out or none.

        Raises
        ------
        InputError
            If none is left.
        """
        subjects = [
            unit.subject
            for unit in self.units
            if (unit.hemisphere, unit.roi) == (hemisphere, roi) and unit.subject != without
        ]
        if not subjects:
            raise InputError(
                "tuning.methods",
                f"{LOSO} for {hemisphere} {roi}, which {without} alone has",
                "a ROI that at least two subjects have",
                "Remove the method, or add a subject.",
            )
        return subjects

    @cached_property
    def largest_roi(self) -> int:
        """Number of voxels of the largest ROI of the tuning data set, wanted or not."""
        sizes = (
            self.roi_sizes(self.dataset, subject, hemisphere)
            for subject in self.subjects(self.dataset)
            for hemisphere in HEMISPHERES
        )
        return max(size.get(roi, 0) for size in sizes for roi in GROUPS["all"])
