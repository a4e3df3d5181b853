# The configuration, validated and with its defaults, and the functions that rules share.
# Units, versions and paths are decided in cortune.project; nothing here knows more than it.
from snakemake.exceptions import WorkflowError

from cortune.attempts import growing
from cortune.config import Config
from cortune.errors import CortuneError
from cortune.lock import hold
from cortune.project import Project, entities_of
from cortune.versions import UNTUNED

try:
    PROJECT = Project(Config.from_mapping(config))
    UNITS = {(u.subject, u.hemisphere, u.roi): u for u in PROJECT.units}
except CortuneError as error:
    raise WorkflowError(str(error)) from None
config.update(PROJECT.config.as_dict())


wildcard_constraints:
    version=r"\d+-[0-9a-f]{8}",
    subject=r"(?!shared)[A-Za-z0-9]+",
    hemisphere=r"lh|rh",
    roi=r"[A-Za-z0-9-]+",
    method=r"[a-z_]+",
    # Layouts whose subjects share files, and a NOD subject's number.
    layout=r"nsd|nod",
    number=r"\d\d",
    # A pooled network belongs to a hemisphere and ROI, or to the subject that it leaves out.
    pool=r"(sub-[A-Za-z0-9]+/)?hemi-(lh|rh)/roi-[A-Za-z0-9-]+",
    # A network belongs to a unit; the untuned one's features serve all units of a subject.
    owner=r"sub-[A-Za-z0-9]+(/hemi-(lh|rh)/roi-[A-Za-z0-9-]+)?",
    # What is transferred to another data set: a unit's network, a pooled one, or the untuned.
    source=r"(sub-[A-Za-z0-9]+/)?hemi-(lh|rh)(/roi-[A-Za-z0-9-]+)?",
    target=r"[A-Za-z][A-Za-z0-9_]*",
    probe=r"[A-Za-z][A-Za-z0-9_]*",
    # The networks of a subject, or those that belong to none: pooled, or untuned.
    networks=r"sub-[A-Za-z0-9]+|shared",


def hold_results():
    """Make this the only run that writes to the results."""
    try:
        hold(PROJECT.results)
    except CortuneError as error:
        raise WorkflowError(str(error)) from None


def made_from(stage, name, *entities):
    """Return an input function: the file `name` that `stage` makes for a job's entities."""

    def find(wildcards):
        chosen = {entity: wildcards[entity] for entity in entities}
        dataset = dataset_of(wildcards)
        return PROJECT.path(stage, name, dataset=dataset, **chosen)

    return find


def dataset_of(wildcards):
    """Return the data set of a job by its version, where only one stage can have it."""
    for dataset in PROJECT.config.datasets:
        for stage in ("prepare_images", "prepare_responses", "split_images"):
            if PROJECT.versions.of(stage, dataset) == wildcards.get("version"):
                return dataset
    return PROJECT.dataset


def simulated(wildcards):
    """Return the records of a subject's simulation, or nothing for real data."""
    return PROJECT.simulated(dataset_of(wildcards), wildcards.subject)


def raw_responses(wildcards):
    """Return the files that a subject's responses are read from."""
    dataset = dataset_of(wildcards)
    if PROJECT.versions.is_simulated(dataset):
        return simulated(wildcards)
    reader = PROJECT.reader(dataset)
    return [str(p) for p in reader.raw_files(wildcards.subject, wildcards.hemisphere)]


def network_of(wildcards):
    """Return the network that a job extracts features from."""
    if wildcards.method == UNTUNED:
        return PROJECT.backbone()
    entities = entities_of(wildcards.owner)
    unit = UNITS[entities["sub"], entities["hemi"], entities["roi"]]
    return PROJECT.network(unit, wildcards.method)


def pool_of(wildcards):
    """Return hemisphere, ROI and subjects of a pooled network."""
    entities = entities_of(wildcards.pool)
    hemisphere, roi = entities["hemi"], entities["roi"]
    subjects = PROJECT.pooled_subjects(hemisphere, roi, without=entities.get("sub"))
    return {"hemisphere": hemisphere, "roi": roi, "subjects": subjects}


def of_pool(stage, name, *entities):
    """Return an input function: a file of each subject that a pooled network is tuned to."""

    def find(wildcards):
        pool = pool_of(wildcards)
        chosen = {entity: pool[entity] for entity in entities}
        return [
            PROJECT.path(stage, name, subject=s, **chosen) for s in pool["subjects"]
        ]

    return find


def of_owner(stage, name):
    """Return an input function: a file of the subject that owns a network."""

    def find(wildcards):
        return PROJECT.path(stage, name, subject=entities_of(wildcards.owner)["sub"])

    return find


def others_of(wildcards):
    """Return each other subject that has the ROI of a network, with that ROI."""
    entities = entities_of(wildcards.owner)
    unit = UNITS[entities["sub"], entities["hemi"], entities["roi"]]
    return {subject: [unit.roi] for subject in PROJECT.other_subjects(unit)}


def of_others(stage, name, *entities):
    """Return an input function: a file of each other subject that has the network's ROI."""

    def find(wildcards):
        known = {"hemisphere": entities_of(wildcards.owner)["hemi"]}
        chosen = {entity: known[entity] for entity in entities}
        return [
            PROJECT.path(stage, name, subject=subject, **chosen)
            for subject in others_of(wildcards)
        ]

    return find


def targets_of(wildcards):
    """Return each subject of the target data set, with the ROIs that a network is tried on."""
    entities = entities_of(wildcards.source)
    units = PROJECT.transfer_targets(
        wildcards.target, entities["hemi"], entities.get("roi")
    )
    return {
        unit.subject: [other.roi for other in units if other.subject == unit.subject]
        for unit in units
    }


def of_targets(stage, name, *entities):
    """Return an input function: a file of each subject of the target data set."""

    def find(wildcards):
        known = {"hemisphere": entities_of(wildcards.source)["hemi"]}
        chosen = {entity: known[entity] for entity in entities}
        dataset = wildcards.target
        return [
            PROJECT.path(stage, name, dataset=dataset, subject=subject, **chosen)
            for subject in targets_of(wildcards)
        ]

    return find


def network_to_transfer(wildcards):
    """Return the network that is transferred to another data set."""
    if wildcards.method == UNTUNED:
        return PROJECT.backbone()
    entities = entities_of(wildcards.source)
    for (subject, hemisphere, roi), unit in UNITS.items():
        if (hemisphere, roi) == (entities["hemi"], entities["roi"]):
            if entities.get("sub", subject) == subject:
                return PROJECT.network(unit, wildcards.method)


def networks_of(wildcards):
    """Return the networks that a job probes or looks into."""
    found = PROJECT.networks_of(wildcards.networks, wildcards.method)
    return [network.path for network in found]


def probe_images(name):
    """Return an input function: a file of a probe's images, by default that of saliency."""

    def find(wildcards):
        return PROJECT.probe_images(name, wildcards.get("probe"))

    return find


def probes_of(wildcards):
    """Return the folder of the probes of the networks that a job looks into."""
    return PROJECT.probe_folder(wildcards.networks, wildcards.method)


def features_of(wildcards):
    """Return the Gram matrices that a unit's encoding models are fitted on."""
    unit = UNITS[wildcards.subject, wildcards.hemisphere, wildcards.roi]
    return PROJECT.features(unit, wildcards.method)


def every_unit(kind):
    """Return the files of one kind of all units and the methods that have it, each once."""
    return list(dict.fromkeys(target.path for target in PROJECT.targets(kind)))
