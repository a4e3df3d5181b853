"""A brain with known truth: labelled scenes, voxel responses, data sets in real layouts."""

from importlib import import_module
from pkgutil import iter_modules

from cortune.simulate.algonauts import simulate_subject
from cortune.simulate.brain import Brain, make_brain
from cortune.simulate.grayordinates import nod_roi_sizes
from cortune.simulate.layout import roi_sizes
from cortune.simulate.layouts import (
    SIMULATORS,
    Simulator,
    is_simulated,
    require_replaceable,
    simulate_layout,
    simulator,
    truth_of,
)
from cortune.simulate.nod import simulate_nod_subject, simulate_nod_support
from cortune.simulate.nod_spec import NodSpec
from cortune.simulate.nsd import simulate_nsd_stimuli, simulate_nsd_subject
from cortune.simulate.responses import noiseless_responses
from cortune.simulate.scenes import Scene, labelled_scenes, render_scene
from cortune.simulate.spec import SimulationSpec, subject_image_ids
from cortune.simulate.trials import Session, sessions

# Whichever module has a simulator registers it.
for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")

__all__ = [
    "SIMULATORS",
    "Brain",
    "NodSpec",
    "Scene",
    "Session",
    "SimulationSpec",
    "Simulator",
    "is_simulated",
    "labelled_scenes",
    "make_brain",
    "nod_roi_sizes",
    "noiseless_responses",
    "render_scene",
    "require_replaceable",
    "roi_sizes",
    "sessions",
    "simulate_layout",
    "simulate_nod_subject",
    "simulate_nod_support",
    "simulate_nsd_stimuli",
    "simulate_nsd_subject",
    "simulate_subject",
    "simulator",
    "subject_image_ids",
    "truth_of",
]
