# The configuration, validated and with its defaults, and what rules name their inputs with.
# Addresses, versions and paths are decided in cortune.project; nothing here knows more than it.
from snakemake.exceptions import WorkflowError

from cortune.address import Address
from cortune.attempts import growing, signed
from cortune.config import Config
from cortune.errors import CortuneError
from cortune.planning import Planning, timeless
from cortune.project import Project
from cortune.stages import BACKBONE, NETWORK, RESPONSES, From
from cortune.stages.encoding import curves, decomposed, encoded, responses
from cortune.stages.export import exported, hemispheres
from cortune.stages.information import embedding
from cortune.stages.networks import pool, tuned
from cortune.stages.prepare import simulated
from cortune.stages.probes import probed, together
from cortune.stages.saliency import mapped, of_probe
from cortune.stages.similarity import compared, of_subject, regions, repeated, subjects
from cortune.stages.transfer import between_datasets, between_subjects, others, targets

timeless(workflow.basedir)
try:
    PLANNING = Planning(Config.from_mapping(config), workflow)
    PROJECT = PLANNING.project
    _ = PROJECT.units
except CortuneError as error:
    raise WorkflowError(str(error)) from None
config.update(PROJECT.config.as_dict())


wildcard_constraints:
    version=r"\d+-[0-9a-f]{8}",
    dataset=r"[A-Za-z][A-Za-z0-9_]*",
    # A subject, all of them, or all but one.
    subject=r"(?!shared)(not-)?[A-Za-z0-9]+",
    hemisphere=r"lh|rh|all",
    roi=r"[A-Za-z0-9-]+",
    method=r"[a-z][a-z0-9_]*",
    replicate=r"\d+",
    target=r"[A-Za-z][A-Za-z0-9_]*",
    probe=r"[A-Za-z][A-Za-z0-9_]*",
    # Of a data set whose subjects share files; and a NOD subject's number.
    layout=r"[a-z][a-z0-9_]*",
    number=r"\d\d",


def whole(path):
    """Return an input whose time does not count, unless a killed job left it."""
    return path if PLANNING.left_by_a_kill(path) else ancient(path)


def at(stage, file, over=None):
    """Return an input function: a file of another stage, for the address of the job.

    `over` names the addresses that the job reads, where that is not its own alone. Versions
    say what is stale, not the times of inputs: hence ancient().
    """
    given = From(stage, file, over)

    @signed
    def find(wildcards):
        address = Address.of(wildcards)
        paths = [whole(path) for path in PROJECT.paths(given, address)]
        one = isinstance(given.addresses(PROJECT, address), Address)
        return paths[0] if one else paths

    return find


def facts(stage):
    """Return a params function: what else decides the result of a job."""
    return signed(lambda wildcards: PROJECT.facts(stage, Address.of(wildcards)))


def shown(wildcards):
    """Return all tables and figures of a run."""
    return [whole(path) for path in PROJECT.shown]


def everything(wildcards):
    """Return what a complete run leaves; one that is whole already becomes the latest."""
    return said_plainly(PLANNING.everything)


def said_plainly(step):
    """Take a step of planning; its errors are messages, not tracebacks."""
    try:
        return step()
    except CortuneError as error:
        raise WorkflowError(str(error)) from None
