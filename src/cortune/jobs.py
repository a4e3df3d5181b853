"""What every job of the workflow needs: its configuration, provenance, log and errors."""

from __future__ import annotations

import ctypes
import fcntl
import gc
import logging
import os
import re
import resource
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cortune.artifacts import PathLike, write_json
from cortune.config import Config
from cortune.disk import amount, disk_problem
from cortune.errors import CortuneError
from cortune.project import Project
from cortune.seals import seal, unseal, verify
from cortune.versions import Provenance

if TYPE_CHECKING:
    from cortune.encoding import Settings

logger = logging.getLogger("cortune")
_OUT_OF_MEMORY = re.compile(r"DefaultCPUAllocator: can't allocate memory.*|\w+ out of memory.*")
_M_MMAP_THRESHOLD, _M_TRIM_THRESHOLD = -3, -1  # malloc.h
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
        self._parts: dict[str, Sequence[PathLike]] = {}

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

    def record(self, parts: Sequence[PathLike]) -> None:
        """Write a record of what made some files and folders, which are sealed with it.

        Parameters
        ----------
        parts : sequence of path
            What is read where the record is an input: files that are no output by name.
        """
        write_json(self.output.record, self.provenance().as_dict())
        self._parts[self.output.record] = parts

    def seal(self) -> None:
        """Seal the outputs; those that are a part of another are sealed with it."""
        parts = {str(part) for parts in self._parts.values() for part in parts}
        for path in self.output:
            if path not in parts:
                seal(path, *self._parts.get(path, ()))


def _stage_of(rule: str) -> str:
    """Return a rule's stage; the rules that simulate the layouts are one stage."""
    return "simulate_dataset" if rule.startswith("simulate_") else rule


def run(snakemake: Any, main: Callable[[Job], None]) -> None:
    """Run a script's `main` as a job: threads, log file, and errors in one clear message.

    Inputs are compared with their seals before, outputs are sealed after it.
    """
    # Fewer collections while modules load, which makes nothing but what stays: torch is
    # imported in 85 % of the time.
    gc.set_threshold(20_000)
    _keep_freed_memory()
    _limit_threads(snakemake.threads)
    log = Path(str(snakemake.log[0]))
    terminal = os.dup(sys.stderr.fileno())
    warnings.simplefilter("default")
    try:
        _log_to(log)
        for path in snakemake.output:
            unseal(path)
        for path in dict.fromkeys(snakemake.input):
            verify(path)
        job = Job(snakemake)
        main(job)
        job.seal()
    except (CortuneError, OSError, MemoryError, RuntimeError) as error:
        message = problem_of(error, snakemake.rule, log)
        if message is None:
            raise
        _report(f"ERROR {message}\n", terminal)
        sys.exit(1)


def problem_of(error: Exception, rule: str, log: Path) -> str | None:
    """Return an error in one message, or None if it is none that a user can act on.

    Parameters
    ----------
    error : Exception
    rule : str
        The rule whose job met it.
    log : Path
        The job's log, which lies on the disk of the results.
    """
    if isinstance(error, CortuneError):
        return str(error)
    if isinstance(error, OSError):
        problem = disk_problem(Path(error.filename or log), error)
        return None if problem is None else f"{rule}: {problem}"
    torchs = _OUT_OF_MEMORY.search(str(error))
    if torchs is None and not isinstance(error, MemoryError):
        return None
    asked = torchs[0] if torchs else str(error) or "no more is to be had"
    return (
        f"{rule}: found too little memory: {asked.rstrip('.')}, beside {amount(_peak_memory())} "
        "that the job had taken at its peak; expected room for both. Run fewer jobs at once "
        "(--cores, or gpu in --resources), give the rule more (--set-resources "
        f"{rule}:mem_mb=…), or lower batch_size or memory_gb in the configuration."
    )


def _peak_memory() -> int:
    """Return the most memory that this process has held, bytes.

    On Linux, ``getrusage`` counts what the process that started this one held.
    """
    status = Path("/proc/self/status")
    if status.is_file() and (line := re.search(r"VmHWM:\s*(\d+) kB", status.read_text())):
        return int(line[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _report(message: str, terminal: int) -> None:
    """Write an error to the log or, where that cannot be, to the terminal."""
    text = message.encode()
    try:
        written = os.write(sys.stderr.fileno(), text)
    except OSError:
        written = 0
    if written < len(text):
        os.write(terminal, text)


def _array_device(device: str) -> str | None:
    """Return the torch device that encoding models are fitted on; None is NumPy, the CPU.

    Torch takes seconds to import: without a GPU's device file it is not asked.
    """
    if device == "cpu" or (device == "auto" and not any(map(Path.exists, _GPU_FILES))):
        return None
    from cortune.networks.device import choose_runtime

    return choose_runtime(device, "float32").array_device


def _keep_freed_memory() -> None:
    """Have the C library reuse the memory of freed arrays of up to 64 MB.

    It would give most of it back to the kernel and ask for it again at every training step:
    5 % of the small network's time, nothing of AlexNet's. Other C libraries than glibc have no
    such setting.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, 64 << 20)
        mallopt(_M_TRIM_THRESHOLD, 1 << 30)


def _limit_threads(threads: int) -> None:
    """Limit the libraries loaded already, and those loaded from now on."""
    from threadpoolctl import threadpool_limits

    threadpool_limits(threads)
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[variable] = str(threads)


def _log_to(path: Path) -> None:
    """Send standard output, standard error and logging to the job's log file.

    The log is locked: where Snakemake alone was killed, its jobs go on, and the same job of
    the next run must not write what the first one writes.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            logger.warning("%s: an earlier run's job still writes; waiting for its end", path)
            fcntl.flock(handle, fcntl.LOCK_EX)
        except OSError:  # a network file system without locks
            logger.debug("%s: cannot be locked", path)
        handle.truncate(0)
        sys.stdout.flush()
        sys.stderr.flush()
        os.dup2(handle.fileno(), sys.stdout.fileno())
        os.dup2(handle.fileno(), sys.stderr.fileno())
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s", stream=sys.stderr)
