"""A project: which units a configuration asks for, and where every artifact lies.

Both the workflow's rules and the command line ask this package, so that paths and
versions are decided in one place.
"""

from cortune.project.project import Project
from cortune.project.records import SHARED, Network, Skipped, TransferredNetwork, Unit, entities_of

__all__ = [
    "SHARED",
    "Network",
    "Project",
    "Skipped",
    "TransferredNetwork",
    "Unit",
    "entities_of",
]
