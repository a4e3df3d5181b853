"""Probes: what image classes can be read linearly from a network's features."""

from cortune.probes.linear import (
    LinearProbe,
    NetworkLabel,
    ProbeJob,
    ProbeResult,
    fit_probe,
    probe_networks,
    read_probe_result,
)
from cortune.probes.prepare import ProbeImages, prepare_probe, read_probe
from cortune.probes.sources import ProbeSpec, list_images, probe_problems, source_files
from cortune.probes.tables import tabulate_probes, wilson_interval

__all__ = [
    "LinearProbe",
    "NetworkLabel",
    "ProbeImages",
    "ProbeJob",
    "ProbeResult",
    "ProbeSpec",
    "fit_probe",
    "list_images",
    "prepare_probe",
    "probe_networks",
    "probe_problems",
    "read_probe",
    "read_probe_result",
    "source_files",
    "tabulate_probes",
    "wilson_interval",
]
