"""What every job of the workflow needs: its address, settings, provenance, log and errors."""

from __future__ import annotations

import ctypes
import fcntl
import gc
import logging
import os
import re
import resource
import signal
import sys
import warnings
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cortune.address import ALL, Address
from cortune.artifacts import PathLike, write_json
from cortune.config import Config
from cortune.disk import amount, disk_problem
from cortune.errors import CortuneError, InputError
from cortune.fingerprints import Sources, read_now
from cortune.fingerprints import keys_of as keys_of_files
from cortune.seals import seal, unseal, verify
from cortune.settings import keys_of, settings_of, values_of
from cortune.stages import STAGES
from cortune.tuning.methods import UNTUNED
from cortune.versions import VERSION, Provenance, version_of, versions_in

if TYPE_CHECKING:
    from cortune.encoding import Settings as EncodingSettings

logger = logging.getLogger("cortune")
_OUT_OF_MEMORY = re.compile(r"DefaultCPUAllocator: can't allocate memory.*|\w+ out of memory.*")
_M_MMAP_THRESHOLD, _M_TRIM_THRESHOLD = -3, -1  # malloc.h
_GPU_FILES = (Path("/dev/nvidiactl"), Path("/dev/kfd"), Path("/dev/dxg"))
INTERRUPTED = 128 + signal.SIGINT
"""Status of a job that was interrupted, as a shell has it."""
_STORAGE = ".snakemake/storage/"  # where storage plugins of Snakemake keep copies


class Job:
    """A Snakemake job, as the function of its stage sees it.

    What it is follows from the path of what it makes. It sees of the configuration what its
    stage declares, and proves that its version covers just what it was given
    (:meth:`check`).

    Parameters
    ----------
    snakemake : object
        The object that Snakemake puts into a script.
    """

    def __init__(self, snakemake: Any) -> None:
        self.input = snakemake.input
        self.output = snakemake.output
        self.threads: int = snakemake.threads
        self.facts = snakemake.params.get("facts")
        self._config = Config.from_mapping(snakemake.config)
        first = str(snakemake.output[0])
        parts = first.split("/")
        at = next(index for index, part in enumerate(parts) if VERSION.fullmatch(part))
        self.results = "/".join(parts[: at - 1])
        self.stage = STAGES[parts[at - 1]]
        self.version = parts[at]
        self.address = Address.parse(first).only(*self.stage.entities)
        self.config = settings_of(self._config, self.stage, self.address)
        self._parts: dict[str, Sequence[PathLike]] = {}
        sources = self._sources
        self._before = [] if sources is None else keys_of_files(sources)

    @cached_property
    def values(self) -> dict[str, Any]:
        """Configuration values that the version covers, by dotted key."""
        return values_of(self._config, self._config.as_dict(), self.stage, self.address)

    @property
    def configuration(self) -> dict[str, Any]:
        """The whole configuration as plain containers, for the record of a run.

        Where raw files lay and how jobs ran is in it, too, which no version covers.
        """
        return self._config.as_dict()

    @property
    def recipe(self) -> Any:
        """The section of the configuration for the job's tuning method."""
        (section,) = keys_of(self._config, ["{recipe}"], self.address)
        return getattr(self.config, section)

    @property
    def home(self) -> str:
        """Folder of the results in the working folder, also where files are a storage's copies."""
        return Path(self.results).name if self.results.startswith(_STORAGE) else self.results

    def inputs(self, name: str) -> list[str]:
        """Return the paths of an input of the rule."""
        value = getattr(self.input, name)
        return [value] if isinstance(value, str) else [str(path) for path in value]

    def networks(self, name: str) -> list[tuple[str, Address]]:
        """Return the paths of an input that are networks, each with its address."""
        untuned = Address(self.address.dataset, ALL, ALL, ALL, UNTUNED, "0")
        found = [(path, Address.parse(path)) for path in self.inputs(name)]
        return [(path, place if place.method else untuned) for path, place in found]

    def files(self, name: str, pattern: str) -> list[str]:
        """Return the files in the folders of an input."""
        return [str(f) for path in self.inputs(name) for f in sorted(Path(path).glob(pattern))]

    @staticmethod
    def inside(folder: str, network: Address, name: str) -> str:
        """Return the path of a network's file in a folder of a subject and method."""
        own = network.own
        parts = [f"{key}-{own[entity]}" for key, entity in _INSIDE.items() if entity in own]
        return f"{folder}/{'_'.join([*parts, name])}"

    def scratch(self, path: str) -> Path:
        """Return where the checkpoint of a file lies while it is made.

        Beside the results, not among them: Snakemake removes what an interrupted job was
        writing, and the checkpoint must outlive that.
        """
        inside = Path(path).relative_to(self.results)
        return Path(self.results, "scratch", inside).with_suffix(".checkpoint")

    @property
    def array_device(self) -> str | None:
        """The torch device that encoding models are fitted on; None is NumPy, the CPU."""
        return _array_device(self.config.device)

    def encoding_settings(self) -> EncodingSettings:
        """Return what an encoding model is under the job's configuration."""
        from cortune.encoding import Settings

        encoding = self.config.encoding
        return Settings(
            alphas=encoding.alphas.values(),
            n_components=encoding.n_components,
            seed=self.config.seed,
            device=self.array_device,
            memory=encoding.memory_gb * 1e9,
        )

    def provenance(
        self, *, raw: Mapping[str, str] | None = None, notes: Mapping[str, Any] | None = None
    ) -> Provenance:
        """Return the provenance of the job's artifacts.

        The seed is 0 where the stage declares none: it draws nothing, and another seed must
        not change what it writes.
        """
        return Provenance(
            stage=self.stage.name,
            version=self.version,
            seed=int(self.values.get("seed", 0)),
            config=self.values,
            inputs=versions_in(map(str, self.input)),
            raw=raw or {},
            notes=notes or {},
        )

    @property
    def _sources(self) -> Sources | None:
        """Raw files as they are now, where the stage reads any."""
        find = self.stage.sources
        return None if find is None else find(self.config, self.address)

    def check(self) -> None:
        """Compare the version of what was asked for with that of what the job was given.

        After the work, since it covers the content of raw files as they were read.

        Raises
        ------
        CortuneError
            If the configuration, an input or a raw file is another than was planned for.
        """
        fingerprint, sources = "", self._sources
        if sources is not None and (sources.files or sources.names):
            fingerprint = read_now(sources)
            if keys_of_files(sources) != self._before:
                raise self._changed()
        version = version_of(
            self.stage.name,
            self.stage.number,
            self.address,
            config=self.values,
            inputs={name: self.inputs(name) for name, _ in self.input.items()},
            sources=fingerprint,
            facts=self.facts,
        )
        if version != self.version:
            raise self._changed(version)

    def _changed(self, version: str = "") -> InputError:
        found = "raw files that changed" if self.stage.sources else f"what makes version {version}"
        return InputError(
            f"{self.results}/{self.stage.name}/{self.version}",
            f"{found} since the run was planned",
            "raw files and a configuration that stay as they are during a run",
            "Run the same command again: what is there now gets versions of its own.",
        )

    def record(self, path: str, parts: Iterable[PathLike]) -> None:
        """Write a record of what made some files and folders, which are sealed with it.

        Parameters
        ----------
        path : str
            The output that is the record.
        parts : iterable of path
            What is read where the record is an input: files that are no output by name.
        """
        write_json(path, self.provenance().as_dict())
        self._parts[path] = list(parts)

    def seal(self) -> None:
        """Seal the outputs; those that are a part of another are sealed with it."""
        parts = {str(part) for parts in self._parts.values() for part in parts}
        for path in self.output:
            if path not in parts:
                seal(path, *self._parts.get(path, ()))


_INSIDE = {"hemi": "hemisphere", "roi": "roi"}


def run(snakemake: Any) -> None:
    """Run a job of the workflow: threads, log file, and errors in one clear message.

    Inputs are compared with their seals before, outputs are sealed after it. One that is
    interrupted says so and ends with status 130.

    Parameters
    ----------
    snakemake : object
        The object that Snakemake puts into a script.
    """
    log = Path(str(snakemake.log[0]))
    terminal = os.dup(sys.stderr.fileno())
    try:
        # Fewer collections while modules load, which makes nothing but what stays: torch is
        # imported in 85 % of the time.
        gc.set_threshold(20_000)
        _keep_freed_memory()
        _limit_threads(snakemake.threads)
        warnings.simplefilter("default")
        _log_to(log)
        for path in snakemake.output:
            unseal(path)
        for path in dict.fromkeys(snakemake.input):
            verify(path)
        job = Job(snakemake)
        job.stage.run(job)
        job.check()
        job.seal()
    except (CortuneError, OSError, MemoryError, RuntimeError) as error:
        message = problem_of(error, snakemake.rule, log)
        if message is None:
            raise
        _report(f"ERROR {message}\n", terminal)
        sys.exit(1)
    except KeyboardInterrupt:
        _report("stopped; the same command goes on from here\n", terminal)
        sys.exit(INTERRUPTED)


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
    if "torch" in sys.modules:  # by the starter, whose environment it has read
        sys.modules["torch"].set_num_threads(threads)
    # Threads soon sleep while they wait for each other: spinning on, as is the default of GNU's
    # OpenMP, takes ten times as long where other jobs want the processor.
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")


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
