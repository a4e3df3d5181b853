"""Networks of every unit and method, and what is measured of each."""

from __future__ import annotations

from functools import cached_property

from cortune.config import SizeCurve
from cortune.project.records import Network, Unit
from cortune.project.units import Units
from cortune.report.tables import EncodedUnit
from cortune.versions import LOSO, POOLED, REGRESSION, UNTUNED


class Networks(Units):
    """Paths of networks, their features and encoding models."""

    def responses(self) -> dict[tuple[str, str], str]:
        """Return the prepared responses of every subject and hemisphere that has a unit."""
        stage, name = "prepare_responses", "responses.h5"
        return {
            (unit.subject, unit.hemisphere): self.path(
                stage, name, subject=unit.subject, hemisphere=unit.hemisphere
            )
            for unit in self.units
        }

    def backbone(self) -> str:
        """Return the path of the untuned network."""
        return self.path(self.versions.backbone_stage(), "network.safetensors")

    def network(self, unit: Unit, method: str) -> str:
        """Return the path of the network of a unit and method."""
        if method == UNTUNED:
            return self.backbone()
        return self._tuned("network.safetensors", unit, method)

    def history(self, unit: Unit, method: str) -> str:
        """Return the path of the training history of a tuned network."""
        return self._tuned("history.csv", unit, method)

    def _tuned(self, name: str, unit: Unit, method: str) -> str:
        """Return the path of a file of a tuned network.

        A pooled network belongs to a hemisphere and ROI, but one that leaves a subject out
        belongs to that subject.
        """
        entities = unit.entities
        if method in POOLED and method != LOSO:
            del entities["subject"]
        return self.path(self.versions.network_stage(method), name, **entities, method=method)

    @property
    def tuned_methods(self) -> list[str]:
        """Methods that tune a network, in the order of the configuration."""
        return [method for method in self.config.tuning.methods if method != UNTUNED]

    @property
    def shown_method(self) -> str:
        """The method of figures that show one: the paper's, or the first that tunes."""
        tuned = self.tuned_methods
        return "contrastive" if "contrastive" in tuned else (tuned or [UNTUNED])[0]

    @cached_property
    def networks(self) -> list[Network]:
        """Every network of the configured methods, once, in the order of methods and units."""
        found = []
        for method in self.config.tuning.methods:
            for unit in self.units:
                names = unit.entities
                if method in POOLED and method != LOSO:
                    names["subject"] = ""
                if method == UNTUNED:
                    names = dict.fromkeys(names, "")
                found.append(Network(method, path=self.network(unit, method), **names))
        return list(dict.fromkeys(found))

    def features(self, unit: Unit, method: str) -> str:
        """Return the path of the Gram matrices of a network over its subject's images."""
        entities = {"subject": unit.subject} if method == UNTUNED else unit.entities
        return self.path("extract_features", "grams.h5", **entities, method=method)

    def encoding(self, unit: Unit, method: str) -> str:
        """Return the path of the encoding models of a unit and method."""
        return self.path("encode_roi", "encoding.h5", **unit.entities, method=method)

    def embeddings(self, unit: Unit, method: str) -> str:
        """Return the path of a tuned network's held-out embeddings."""
        return self._tuned("embeddings.h5", unit, method)

    def size_curve(self, unit: Unit, method: str) -> str:
        """Return the path of the size curve of a unit and method."""
        return self.path("fit_size_curve", "size_curve.h5", **unit.entities, method=method)

    def targets(self, kind: str) -> list[EncodedUnit]:
        """Return every unit and method that has a file of a kind, and its path.

        Parameters
        ----------
        kind : str
            ``encoding``, ``history``, ``embeddings`` or ``size_curve``.
        """
        find = getattr(self, kind)
        return [
            EncodedUnit(self.dataset, u.subject, u.hemisphere, u.roi, method, find(u, method))
            for method in self._methods_with(kind)
            for u in self.units
            if kind != "size_curve" or u.roi in (self._curve.rois or [u.roi])
        ]

    def _methods_with(self, kind: str) -> list[str]:
        if kind == "encoding":
            return self.config.tuning.methods
        if kind == "size_curve":
            wanted = self._curve.methods or self.config.tuning.methods
            return [m for m in self.config.tuning.methods if m in wanted and self._curve.sizes]
        if kind == "embeddings":
            return [method for method in self.tuned_methods if method != REGRESSION]
        return self.tuned_methods

    @property
    def _curve(self) -> SizeCurve:
        return self.config.encoding.size_curve
