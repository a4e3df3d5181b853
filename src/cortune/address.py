"""One address for every network, and the path that it has in every stage's folder.

An address names a data set, subject, hemisphere, ROI, method and replicate. In paths they
are ``key-value`` entities, always in that order; ``all`` stands for an entity that a file
does not tell apart: the untuned network and a joint one are ``hemi-all/roi-all``, one that
pools subjects ``sub-all``, and one tuned to all but subj02 ``sub-not-subj02``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

ALL = "all"
WITHOUT = "not-"
ENTITIES = {
    "target": "to",
    "probe": "probe",
    "dataset": "ds",
    "subject": "sub",
    "hemisphere": "hemi",
    "roi": "roi",
    "method": "method",
    "replicate": "rep",
}
"""Keys of the entities in paths, in the order of paths."""
UNIT = ("dataset", "subject", "hemisphere", "roi")
OF_NETWORK = (*UNIT, "method", "replicate")
_BY_KEY = {key: entity for entity, key in ENTITIES.items()}


@dataclass(frozen=True)
class Address:
    """What a file belongs to; empty where it does not have the entity.

    Parameters
    ----------
    dataset, subject, hemisphere, roi, method, replicate : str
        Of the network, or of the unit whose responses are meant.
    target : str
        Data set that a network is transferred to.
    probe : str
        Probe that a network is tried on.
    """

    dataset: str = ""
    subject: str = ""
    hemisphere: str = ""
    roi: str = ""
    method: str = ""
    replicate: str = ""
    target: str = ""
    probe: str = ""

    @classmethod
    def of(cls, entities: Mapping[str, Any]) -> Address:
        """Return the address in a job's wildcards; other names are passed over."""
        known = {field.name for field in fields(cls)}
        return cls(**{name: str(value) for name, value in entities.items() if name in known})

    @classmethod
    def parse(cls, path: str) -> Address:
        """Return the address in a path, such as ``results/…/sub-subj01/hemi-lh/responses.h5``."""
        found: dict[str, str] = {}
        for part in re.split(r"[/\\]", path):
            key, separator, value = part.partition("-")
            if separator and key in _BY_KEY:
                found.setdefault(_BY_KEY[key], value)
        return cls(**found)

    def path(self, entities: tuple[str, ...]) -> str:
        """Return the folders of some entities, such as ``ds-nsd/sub-subj01``."""
        return "/".join(
            f"{key}-{getattr(self, name)}" for name, key in ENTITIES.items() if name in entities
        )

    def only(self, *entities: str) -> Address:
        """Return the address with these entities and no others."""
        return Address(**{name: getattr(self, name) for name in entities})

    def but(self, **entities: str) -> Address:
        """Return the address with other values of some entities."""
        return replace(self, **entities)

    @property
    def own(self) -> dict[str, str]:
        """Entities that tell the file from others: neither empty nor ``all``."""
        values = {name: getattr(self, name) for name in ENTITIES}
        return {name: value for name, value in values.items() if value not in ("", ALL)}

    @property
    def without(self) -> str:
        """The subject that a network which pools the others leaves out, or nothing."""
        return self.subject.removeprefix(WITHOUT) if self.subject.startswith(WITHOUT) else ""

    @property
    def label(self) -> dict[str, str]:
        """Entities as tables have them: empty where the network does not tell them apart.

        A network that leaves a subject out is listed under that subject.
        """
        own = self.own
        own["subject"] = self.without or own.get("subject", "")
        return {name: own.get(name, "") for name in OF_NETWORK}

    @property
    def model(self) -> str:
        """Name of the network in tables, such as ``contrastive subj01 lh V1v``."""
        label = self.label
        names = [label[name] for name in ("method", "subject", "hemisphere", "roi")]
        return " ".join(filter(None, names)) + (
            f" replicate {self.replicate}" if self.replicate not in ("", "0") else ""
        )

    @property
    def unit(self) -> str:
        """Name of a unit in a network of several, such as ``subj01 lh V1v``."""
        return f"{self.subject} {self.hemisphere} {self.roi}"

    @property
    def seeded(self) -> str:
        """What tells the random draws of a network from those of others of the same seed.

        Entities that the network has; replicates differ in their seeds
        (:func:`cortune.seeds.replicate_seed`).
        """
        names = ("subject", "hemisphere", "roi", "method")
        label = self.label
        return "/".join(f"{ENTITIES[name]}-{label[name]}" for name in names if label[name])
