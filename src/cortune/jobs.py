"""What every job of the workflow needs: its configuration, provenance, log and errors."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cortune.artifacts import seal, verify
from cortune.config import Config
from cortune.errors import CortuneError
from cortune.project import Project
from cortune.versions import Provenance

if TYPE_CHECKING:
    from cortune.encoding import Settings

logger = logging.getLogger("cortune")
_GPU_FILES = (Path("/dev/nvidiactl"), Path("/dev/kfd"), Path("/dev/dxg"))


class Job:
    """A Snakemake job, as a script of the workflow sees it.

    Parameters
    ----------
    snakemake : object
        The object that Snakemake puts into a script.
    """

    def __init__(self, snakemake: Any) -> None:
        self.input = snakemake.input
        self.output = snakemake.output
        self.params = snakemake.params
        self.wildcards = snakemake.wildcards
        self.threads: int = snakemake.threads
        self.stage = _stage_of(snakemake.rule)
        self.config = Config.from_mapping(snakemake.config)

    @cached_property
    def project(self) -> Project:
        """The project that the job belongs to."""
        return Project(self.config)

    @cached_property
    def dataset(self) -> str:
        """The data set that the job works on: the one transferred to, where there is one."""
        version = self.wildcards.get("version")
        target = self.wildcards.get("target")
        if target is not None:
            return str(target)
        if version is None or self.method is not None or self.probe is not None:
            return self.project.dataset
        return self.project.dataset_of(self.stage, version)

    @property
    def method(self) -> str | None:
        """The tuning method, where the job has one."""
        method = self.wildcards.get("method")
        return None if method is None else str(method)

    @property
    def probe(self) -> str | None:
        """The probe, where the job has one."""
        probe = self.wildcards.get("probe")
        return None if probe is None else str(probe)

    def encoding_settings(self) -> Settings:
        """Return what an encoding model is under the job's configuration."""
        from cortune.encoding import Settings

        encoding = self.config.encoding
        return Settings(
            alphas=encoding.alphas.values(),
            n_components=encoding.n_components,
            n_bootstrap=self.config.statistics.n_bootstrap,
            seed=self.config.seed,
            device=_array_device(self.config.device),
            memory=encoding.memory_gb * 1e9,
        )

    def provenance(
        self, *, raw: Mapping[str, str] | None = None, notes: Mapping[str, Any] | None = None
    ) -> Provenance:
        """Return the provenance of the job's artifacts.

        Raises
        ------
        CortuneError
            If the files asked for belong to another configuration.
        """
        provenance = self.project.versions.provenance(
            self.stage, self.dataset, self.method, self.probe, raw=raw, notes=notes
        )
        asked = self.wildcards.get("version", provenance.version)
        if asked != provenance.version:
            raise CortuneError(
                f"{self.stage}: found version {asked} in the file asked for, expected "
                f"{provenance.version}. Ask for the files of the current configuration."
            )
        return provenance


def _stage_of(rule: str) -> str:
    """Return a rule's stage; the rules that simulate the layouts are one stage."""
    return "simulate_dataset" if rule.startswith("simulate_") else rule


def run(snakemake: Any, main: Callable[[Job], None]) -> None:
    """Run a script's `main` as a job: threads, log file, and errors in one clear message.

    Inputs are compared with their seals before, outputs are sealed after it.
    """
    _limit_threads(snakemake.threads)
    _log_to(Path(str(snakemake.log[0])))
    warnings.simplefilter("default")
    try:
        for path in dict.fromkeys(snakemake.input):
            verify(path)
        main(Job(snakemake))
        for path in snakemake.output:
            seal(path)
    except CortuneError as error:
        logger.error("%s", error)
        sys.exit(1)
    except MemoryError as error:
        logger.error("%s: out of memory (%s). Give the rule more mem_mb.", snakemake.rule, error)
        sys.exit(1)


def _array_device(device: str) -> str | None:
    """Return the torch device that encoding models are fitted on; None is NumPy, the CPU.

    Torch takes seconds to import: without a GPU's device file it is not asked.
    """
    if device == "cpu" or (device == "auto" and not any(map(Path.exists, _GPU_FILES))):
        return None
    from cortune.networks.device import choose_runtime

    return choose_runtime(device, "float32").array_device


def _limit_threads(threads: int) -> None:
    """Limit the libraries loaded already, and those loaded from now on."""
    from threadpoolctl import threadpool_limits

    threadpool_limits(threads)
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[variable] = str(threads)


def _log_to(path: Path) -> None:
    """Send standard output, standard error and logging to the job's log file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush()
    sys.stderr.flush()
    with path.open("w", encoding="utf-8") as handle:
        os.dup2(handle.fileno(), sys.stdout.fileno())
        os.dup2(handle.fileno(), sys.stderr.fileno())
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s", stream=sys.stderr)
