"""A configuration under which all stages but two have a job; nothing of it runs."""

from __future__ import annotations

import copy
from typing import Any

from cortune.config import Config
from cortune.project import Project

_SIMULATED = {"n_images": 200, "image_size": 32, "n_classes": 5}
EXAMPLE: dict[str, Any] = {
    "datasets": {
        "nsd": {
            "layout": "algonauts2023",
            "subjects": ["subj01", "subj02"],
            "rois": ["V1v"],
            "simulate": {**_SIMULATED, "n_shared": 50, "vertices": {"V1v": 40, "PPA": 30}},
        },
        "nod": {
            "layout": "nod",
            "subjects": ["sub01"],
            "rois": ["V1"],
            "simulate": dict(_SIMULATED),
        },
    },
    "backbone": {"weights": "pretrain"},
    "tuning": {
        "dataset": "nsd",
        "methods": [
            "untuned",
            "regression",
            "contrastive",
            "contrastive_plus",
            "pooled_mean",
            "pooled_loso",
        ],
    },
    "encoding": {"protocols": ["heldout_cv", "all_layers"], "size_curve": {"sizes": [50]}},
    "transfer": {
        "subjects": True,
        "datasets": [{"source": "nsd", "target": "nod", "rois": {"V1": ["V1v"]}}],
    },
    "probes": {"scenes": {"kind": "scenes", "n_images": 100, "n_classes": 5}},
    "landscape": {},
    "similarity": {},
    "saliency": {"probe": "scenes"},
    "export": {"methods": ["untuned", "contrastive"]},
}


def changed(base: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Return a configuration with other values; ``encoding__folds`` is ``encoding.folds``."""
    mapping = copy.deepcopy(base)
    for key, value in changes.items():
        *parents, last = key.split("__")
        section = mapping
        for parent in parents:
            section = section.setdefault(parent, {})
        section[last] = value
    return mapping


def project(**changes: Any) -> Project:
    """Return the project of the example with other values."""
    return Project(Config.from_mapping(changed(EXAMPLE, **changes)))


# Rules that write the other layouts of the simulator; they are one stage.
SIMULATING = dict.fromkeys(("simulate_nsd", "simulate_nod", "simulate_shared"), "simulate_dataset")
