"""The stages of the workflow, each declared beside the function that does a job of it.

A module of this folder that declares a stage is found by itself.
"""

from importlib import import_module
from pkgutil import iter_modules

from cortune.stages.declare import (
    BACKBONE,
    NETWORK,
    RESPONSES,
    RUNTIME,
    SECTIONS,
    From,
    Output,
    Stage,
    declared,
    figure,
    stage,
    table,
)

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")

STAGES: dict[str, Stage] = declared()
"""Every stage by name, each after those that it consumes."""

__all__ = [
    "BACKBONE",
    "NETWORK",
    "RESPONSES",
    "RUNTIME",
    "SECTIONS",
    "STAGES",
    "From",
    "Output",
    "Stage",
    "figure",
    "stage",
    "table",
]
