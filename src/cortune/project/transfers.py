"""Transfers: which networks are tried on whose voxels."""

from __future__ import annotations

from pathlib import Path

from cortune.data.problems import nearest, some
from cortune.data.rois import HEMISPHERES
from cortune.errors import InputError
from cortune.project.networks import Networks
from cortune.project.records import TransferredNetwork, Unit
from cortune.versions import LOSO, POOLED, UNTUNED


class Transfers(Networks):
    """Networks on other subjects and on other data sets."""

    def transfer_subject(self, unit: Unit, method: str) -> str:
        """Return the path of the encodings of other subjects from a unit's network."""
        return self.path("transfer_subject", "transfer.h5", **unit.entities, method=method)

    def other_subjects(self, unit: Unit) -> list[str]:
        """Return the other subjects that have a unit's ROI."""
        return [
            other.subject
            for other in self.units
            if (other.hemisphere, other.roi) == (unit.hemisphere, unit.roi)
            and other.subject != unit.subject
        ]

    def transfer_targets(self, target: str, hemisphere: str, roi: str | None) -> list[Unit]:
        """Return the units of another data set that networks of an ROI are tried on.

        Parameters
        ----------
        target : str
            Data set.
        hemisphere : {"lh", "rh"}
        roi : str or None
            The source's ROI; None is every ROI that any source is tried on.
        """
        wanted = [
            name
            for pair in self.config.transfer.datasets
            if pair.target == target
            for name, sources in pair.rois.items()
            if roi is None or roi in sources
        ]
        least = self.config.tuning.min_voxels
        return [
            Unit(subject, hemisphere, name, sizes[name])
            for subject in self.subjects(target)
            for sizes in [self.roi_sizes(target, subject, hemisphere)]
            for name in dict.fromkeys(wanted)
            if sizes.get(name, 0) >= least
        ]

    def transfers(self) -> list[TransferredNetwork]:
        """Return every network that is transferred, and the file of its encodings.

        Networks that pool all subjects have seen every subject of their data set, so they
        are transferred to other data sets only; one file of a pooled network serves all
        subjects. The untuned network is tried on every target once.
        """
        found = [
            TransferredNetwork(None, u.subject, u.hemisphere, u.roi, m, self.transfer_subject(u, m))
            for m in self._transferred()
            if self.config.transfer.subjects and m not in POOLED
            for u in self.units
            if u.roi in (self.config.transfer.rois or [u.roi]) and self.other_subjects(u)
        ]
        self._check_transfer()
        for target in self.versions.transfer_targets():
            sources = {
                roi
                for pair in self.config.transfer.datasets
                if pair.target == target
                for rois in pair.rois.values()
                for roi in rois
            }
            for method in [UNTUNED, *self._transferred()]:
                found += [
                    self._to_dataset(target, unit, method)
                    for unit in self.units
                    if unit.roi in sources and method != LOSO
                ]
        return list({network.path: network for network in found}.values())

    def _check_transfer(self) -> None:
        """Refuse ROIs that no source was tuned to, or that no target has."""
        analysed = {unit.roi for unit in self.units}
        for index, pair in enumerate(self.config.transfer.datasets):
            where = f"transfer.datasets.{index}.rois"
            present = {
                roi
                for subject in self.subjects(pair.target)
                for roi in self.roi_sizes(pair.target, subject, HEMISPHERES[0])
            }
            for roi, sources in pair.rois.items():
                for name, known, of in (
                    (roi, present, f"ROIs of {pair.target}"),
                    *((source, analysed, f"ROIs analysed of {pair.source}") for source in sources),
                ):
                    if name not in known:
                        raise InputError(
                            where,
                            repr(name),
                            f"one of the {of}: {some(sorted(known), 8)}",
                            nearest(name, known) or "Correct the name, or add the ROI.",
                        )

    def _transferred(self) -> list[str]:
        wanted = self.config.transfer.methods
        return [m for m in self.tuned_methods if wanted is None or m in wanted]

    def _to_dataset(self, target: str, unit: Unit, method: str) -> TransferredNetwork:
        subject: str | None = unit.subject
        source = f"sub-{unit.subject}/hemi-{unit.hemisphere}/roi-{unit.roi}"
        if method in POOLED:
            subject, source = None, f"hemi-{unit.hemisphere}/roi-{unit.roi}"
        roi: str | None = unit.roi
        if method == UNTUNED:
            subject, roi, source = None, None, f"hemi-{unit.hemisphere}"
        version = self.versions.of("transfer_dataset", target, method)
        name = f"to-{target}/{source}/method-{method}/transfer.h5"
        path = (Path(self.results) / "transfer_dataset" / version / name).as_posix()
        return TransferredNetwork(target, subject, unit.hemisphere, roi, method, path)
