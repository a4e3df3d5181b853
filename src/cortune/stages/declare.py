"""What a stage is: one declaration, from which everything else about it follows.

Versions, what a job may read, the table of reruns, the plan, the reference of artifacts, the
sections of the report and the targets of ``rule all`` are derived from :data:`STAGES`. The
one repetition is in the rules, where a reader wants to see paths; a test holds the two equal.

Modules of this package are light: what computes is imported inside the functions that run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cortune.address import Address
from cortune.fingerprints import Sources

if TYPE_CHECKING:
    from cortune.jobs import Job
    from cortune.project import Project
    from cortune.settings import Settings

BACKBONE = "backbone"
"""Stands for the stage that makes the untuned network."""
NETWORK = "network"
"""Stands for the stage that makes the network of an address, tuned or not."""
RESPONSES = "responses"
"""Stands for the stage that prepares the responses of an address: of ROIs, or of all vertices."""
_STANDS_FOR = {
    RESPONSES: ("prepare_responses", "prepare_whole"),
    BACKBONE: ("prepare_backbone", "pretrain_backbone"),
    NETWORK: ("prepare_backbone", "pretrain_backbone", "tune_network", "tune_pooled"),
}
RUNTIME = (
    "device",
    "tuning.workers",
    "features.batch_size",
    "features.memory_gb",
    "features.scratch_gb",
    "encoding.memory_gb",
)
"""Keys that every job may read and no version covers: where and how, not what, is computed."""

SECTIONS = (
    "Encoding",
    "Cortex",
    "Published",
    "Size curve",
    "Similarity",
    "Tuning",
    "Transfer",
    "Probes",
    "Landscape",
    "Lateralization",
    "Left out",
)
"""Headings of the report in their order; others that stages name follow."""

Over = Callable[["Project", Address], Address | Iterable[Address]]


@dataclass(frozen=True)
class From:
    """An input: a file of another stage.

    Parameters
    ----------
    stage : str
        Or :data:`BACKBONE`, :data:`NETWORK` or :data:`RESPONSES`.
    file : str
        A key of that stage's outputs.
    over : callable, optional
        The address whose file is read, or addresses; default: that of the job.
    """

    stage: str
    file: str
    over: Over | None = None

    def addresses(self, project: Project, address: Address) -> Address | list[Address]:
        """Return the address whose file a job reads, or a list of them."""
        found = address if self.over is None else self.over(project, address)
        return found if isinstance(found, Address) else list(found)

    @property
    def stages(self) -> tuple[str, ...]:
        """Names of the stages that this may be."""
        return _STANDS_FOR.get(self.stage, (self.stage,))


@dataclass(frozen=True)
class Output:
    """A file or folder that a job leaves.

    Parameters
    ----------
    path : str
        In the folder of the job's address; ``{…}`` stand for entities.
    about : str
        What it is.
    holds : mapping of str to str
        What lies in it: datasets of an HDF5 file (attributes with ``@``), columns of a CSV or
        keys of a JSON file. Names in angle brackets stand for several.
    inside : str
        Pattern of the files inside, where it is a folder.
    section : str
        Heading of the report that shows it; tables and figures without one are not shown.
    caption : str
        Of a figure: reStructuredText, with the configuration as ``config``.
    """

    path: str
    about: str = ""
    holds: Mapping[str, str] = field(default_factory=dict)
    inside: str = ""
    section: str = ""
    caption: str = ""

    @property
    def is_table(self) -> bool:
        """Whether it is one of the tables of ``results/latest``."""
        return bool(self.section) and self.path.endswith((".csv", ".parquet"))

    @property
    def is_figure(self) -> bool:
        """Whether it is one of the figures of ``results/latest``."""
        return bool(self.section) and self.path.endswith((".png", ".html"))


def table(name: str, section: str) -> Output:
    """Return a table of ``results/latest``; its columns are in the reference of tables."""
    return Output(name, f"see [tables](tables.md#{name.replace('.', '')}).", section=section)


def figure(name: str, section: str, about: str, caption: str) -> Output:
    """Return a figure of ``results/latest``."""
    return Output(name, about, section=section, caption=caption)


@dataclass(frozen=True)
class Stage:
    """One stage of the workflow.

    Parameters
    ----------
    name : str
        Of the stage, its rule, script, log and benchmark. Other rules may make its files, too.
    number : int
        Algorithm number; raise it when the code gives other results for the same input.
    run : callable
        Does a job.
    outputs : mapping of str to Output
        By the names that the rule gives them.
    entities : tuple of str
        Entities of the address that tell its jobs apart.
    reads : tuple of str
        Dotted configuration keys that its version covers; ``{dataset}``, ``{target}``,
        ``{probe}`` and ``{recipe}`` (the section of the tuning method) depend on the address.
    inputs : mapping of str to From
        By the names that the rule gives them.
    places : tuple of str
        Keys that say where raw files lie. Jobs may read them; what counts is the content.
    checks : tuple of str
        Keys that jobs may read to refuse early what a later stage would; they decide nothing
        of what is written.
    sources : callable, optional
        ``sources(settings, address)``: the raw files that a job reads.
    facts : callable, optional
        ``facts(project, address)``: what else decides the result, such as which ROIs of the
        inputs are meant; JSON. Jobs have it as ``params.facts``.
    normal : callable, optional
        Makes the addresses of the same file equal.
    when : callable, optional
        ``when(project)``: whether a complete run has its tables or figures.
    gpu : bool
        Whether its rule asks for a GPU: it runs networks.
    gathers : bool
        Whether its input, ``shown``, is every table and figure of the run.
    """

    name: str
    number: int
    run: Callable[[Job], None]
    outputs: Mapping[str, Output]
    entities: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()
    inputs: Mapping[str, From] = field(default_factory=dict)
    places: tuple[str, ...] = ()
    checks: tuple[str, ...] = ()
    sources: Callable[[Settings, Address], Sources] | None = None
    facts: Callable[[Project, Address], Any] | None = None
    normal: Callable[[Address], Address] | None = None
    when: Callable[[Project], bool] | None = None
    gpu: bool = False
    gathers: bool = False

    def address(self, address: Address) -> Address:
        """Return what of an address tells this stage's files apart."""
        if self.normal is not None:
            address = self.normal(address)
        return address.only(*self.entities)

    @property
    def consumes(self) -> tuple[str, ...]:
        """Names of the stages that it may read from."""
        return tuple(dict.fromkeys(name for each in self.inputs.values() for name in each.stages))

    @property
    def shown(self) -> tuple[Output, ...]:
        """Its tables and figures."""
        return tuple(out for out in self.outputs.values() if out.is_table or out.is_figure)

    @property
    def about(self) -> str:
        """What a job does, in a sentence."""
        return (self.run.__doc__ or "").strip().split("\n")[0]


_DECLARED: dict[str, Stage] = {}


def stage(number: int, **declared: Any) -> Callable[[Callable[[Job], None]], Stage]:
    """Declare the stage that the decorated function does a job of; it has its name."""

    def declare(run: Callable[[Job], None]) -> Stage:
        made = Stage(run.__name__, number, run, **declared)
        _DECLARED[made.name] = made
        return made

    return declare


def declared() -> dict[str, Stage]:
    """Return every stage declared, each after those that it consumes."""
    found: dict[str, Stage] = {}

    def visit(name: str) -> None:
        if name not in found and name in _DECLARED:
            for each in _DECLARED[name].consumes:
                visit(each)
            found[name] = _DECLARED[name]

    for name in sorted(_DECLARED, key=lambda name: _DECLARED[name].gathers):
        visit(name)
    return found
