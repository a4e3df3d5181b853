"""``cortune check``: everything wrong with a configuration and its inputs, at once.

Only headers, names and masks are read, so that it takes seconds on a full data set.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from cortune.config import Config, ConfigError, Dataset
from cortune.data.identity import COMMUNITY, by_content, community_ids, has_id
from cortune.data.images import content_digest, same_pictures
from cortune.data.problems import count, some
from cortune.data.rois import HEMISPHERES, select_rois
from cortune.data.splits import SETS, read_split, split_table
from cortune.errors import CortuneError
from cortune.project import Project

_ABREAST = 8
_MANY = 20
"""Images that a set has on average, from which on none of a split stays without (e^-20)."""


def find_problems(*configfiles: str | Path) -> list[str]:
    """Return every problem found, each naming the file or key, and the cure.

    Parameters
    ----------
    *configfiles : path
        Configuration to check, with the data sets and weights that it names, and others that
        are laid over it.
    """
    try:
        config = Config.from_file(*configfiles)
    except ConfigError as error:
        return str(error).splitlines()
    problems = [*_dataset_problems(config)]
    if not problems:
        # What is analysed and transferred is only known of data sets that can be read.
        problems += [*_split_problems(config), *_plan_problems(config)]
    problems += [*_backbone_problems(config), *_probe_problems(config)]
    return list(dict.fromkeys(problems))


def find_notes(*configfiles: str | Path) -> list[str]:
    """Return what is worth knowing of inputs without a problem.

    ROIs that are too small to be analysed, and pictures that are one image.
    """
    config = Config.from_file(*configfiles)
    project = Project(config)
    found: dict[str, list[list[str]]] = {}
    for name, dataset in config.datasets.items():
        if project.simulation(name) is None:
            found[f"datasets.{name}"] = project.reader(name).twins(project.subjects(name))
        elif folder := getattr(dataset.simulate, "images", None):
            from cortune.simulate.spec import list_photographs

            root = Path(folder).expanduser()
            found[f"datasets.{name}.simulate.images"] = _alike(list_photographs(root), root)
    for name, probe in config.probes.items():
        if probe.root:
            from cortune.probes import ProbeSpec, list_images

            listed = list_images(ProbeSpec(**probe.source()))
            found[f"probes.{name}"] = _alike(listed.files, listed.root)
    alike = [
        f"{where}: found pictures that decode alike, {some(group)}; they count as one image."
        for where, groups in found.items()
        for group in groups
    ]
    return [*_skipped(project), *alike]


def _skipped(project: Project) -> Iterator[str]:
    """Yield the ROIs that the run leaves out, and where, if not everywhere."""
    least, analysed = project.config.tuning.min_voxels, {unit.roi for unit in project.units}
    sizes: dict[str, dict[str, int]] = {}
    for each in project.skipped:
        found = project.roi_sizes(each.dataset, each.subject, each.hemisphere).get(each.roi, 0)
        sizes.setdefault(each.roi, {})[f"{each.subject} {each.hemisphere}"] = found
    for roi, of in sizes.items():
        low, high = min(of.values()), max(of.values())
        where = f" of {some([*of])}" if roi in analysed else ""
        voxels = f"{low}" if low == high else f"{low} to {high}"
        unit = "voxel" if voxels == "1" else "voxels"
        yield f"skipped: {roi}{where} ({voxels} {unit}, fewer than {least})"


def _alike(paths: Sequence[Path], root: Path) -> list[list[str]]:
    groups = same_pictures(paths)
    return [[path.relative_to(root).as_posix() for path in group] for group in groups]


def describe(*configfiles: str | Path) -> str:
    """Return what there is in the data sets of a configuration without problems, as tables.

    Subjects side by side, at most eight; ROIs with their vertices, left and right hemisphere.
    Subjects that ``cortune simulate`` wrote are marked.
    """
    from cortune.simulate import is_simulated
    from cortune.simulate.spec import list_photographs

    project = Project(Config.from_file(*configfiles))
    lines: list[str] = []
    for name, dataset in project.config.datasets.items():
        if project.simulation(name) is not None:
            lines.append(f"{name} ({dataset.layout}): is simulated when the workflow runs.")
            if folder := getattr(dataset.simulate, "images", None):
                pictures = list_photographs(Path(folder).expanduser())
                brains = count(project.subjects(name), "subject")
                lines.append(
                    f"  photographs: {count(pictures, 'picture')} in {folder}, "
                    f"shown to the simulated brain of {brains}"
                )
            continue
        reader, subjects = project.reader(name), project.subjects(name)
        lines.append(f"{name} ({dataset.layout}) in {dataset.root}: {len(subjects)} subject(s)")
        for start in range(0, len(subjects), _ABREAST):
            columns = []
            for subject in subjects[start : start + _ABREAST]:
                left, right = (project.roi_sizes(name, subject, side) for side in HEMISPHERES)
                rois = {
                    roi: f"{left.get(roi, 0)}+{right.get(roi, 0)}"
                    for roi in select_rois(dataset.rois, left | right)
                }
                simulated = is_simulated(dataset.layout, reader.root, subject)
                head = f"{subject} (simulated)" if simulated else subject
                columns.append({"": head, **reader.facts(subject), **rois})
            width = max(16, *(len(column[""]) + 2 for column in columns))
            for key in dict.fromkeys(key for column in columns for key in column):
                cells = "".join(f"{column.get(key, '–'):>{width}}" for column in columns)
                lines.append(f"  {key:22}{cells}")
    lines.append(
        "Looked at: every header, table, label and name of them; of responses and pictures, "
        "samples. ROIs are in vertices, left + right."
    )
    return "\n".join(lines)


def _dataset_problems(config: Config) -> Iterator[str]:
    project = Project(config)
    for name, dataset in config.datasets.items():
        try:
            if project.simulation(name) is None:
                problems = project.reader(name).problems(dataset.subjects, dataset.rois)
                yield from (f"datasets.{name}: {problem}" for problem in problems)
            else:
                yield from _photograph_problems(name, dataset)
        except CortuneError as error:
            yield f"datasets.{name}: {error}"


def _photograph_problems(name: str, dataset: Dataset) -> Iterator[str]:
    simulate = dataset.simulate
    folder = getattr(simulate, "images", None)
    if simulate is not None and folder:
        from cortune.simulate.photographs import photograph_problems

        for problem in photograph_problems(Path(folder).expanduser(), simulate.n_classes):
            yield f"datasets.{name}.simulate.images: {problem}"


def _split_problems(config: Config) -> Iterator[str]:
    """Yield tables of sets that cannot be read, and subjects without images for a set."""
    split, project = config.split, Project(config)
    try:
        if split.file is not None:
            read_split(Path(split.file).expanduser())
        if split.by in COMMUNITY and not project.is_simulated(project.dataset):
            ids, reader = community_ids(split.by), project.reader(project.dataset)
            for subject in project.subjects(project.dataset):
                if not ids.intersection(reader.images(subject).nsd_ids or ()):
                    yield (
                        f"split.by: found {split.by} with {subject} of {project.dataset}, who saw "
                        "none of these images, expected some. Set `split.by: hash`."
                    )
        if split.by == "hash":
            shares = {name: getattr(split, name) for name in SETS}
            for subject in project.subjects(project.dataset):
                if identities := _few_images(project, subject):
                    split_table(identities, config.seed, shares, covered=True)
    except CortuneError as error:
        yield str(error)


def _few_images(project: Project, subject: str) -> list[str]:
    """Return the identities of a subject's images that are so few that a set may have none.

    None where they are more, or where only decoding and drawing them would tell.
    """
    from cortune.simulate.photographs import shown_as
    from cortune.simulate.spec import SimulationSpec, list_photographs, subject_image_ids

    split, name = project.config.split, project.dataset
    least = min(share for key in SETS if (share := getattr(split, key)) > 0)
    spec = project.simulation(name)
    if spec is None:
        reader = project.reader(name)
        named = list(reader.images(subject).identities)
        if len(named) * least > _MANY or not all(map(has_id, named)):
            return []
        same = reader.same()
        return [same.get(each, each) for each in named]
    if not isinstance(spec, SimulationSpec) or spec.n_images * least > _MANY:
        return []
    if spec.images is not None:
        pixels = [shown_as(path, spec.image_size) for path in list_photographs(spec.images)]
        seen = [each[:, ::-1] if spec.mirrored else each for each in pixels]
        return [by_content(content_digest(each)) for each in seen]
    ids = subject_image_ids(spec, subject, project.config.seed).tolist()
    return list(project.reader(name).identities(ids))


def _plan_problems(config: Config) -> Iterator[str]:
    """Yield what the process that plans a run refuses: it looks for every job of it."""
    project = Project(config)
    found: dict[str, None] = {}
    for plan in (lambda: project.units, project.dataset_transfers, lambda: project.jobs):
        try:
            plan()
        except CortuneError as error:
            found[str(error)] = None
    yield from found


def _backbone_problems(config: Config) -> Iterator[str]:
    """Yield what is wrong with the backbone, its weights, layers that are named, and its tuning."""
    from cortune.networks.adapters import adapt
    from cortune.networks.backbones import is_file, load_backbone, origin_of, planned, weights_entry
    from cortune.networks.layers import Trace, choose_layers

    settings = config.backbone
    try:
        if is_file(settings.weights):
            loaded = load_backbone(settings.name, settings.weights, input_size=settings.input_size)
            trace = Trace(origin_of(loaded))
        else:
            if settings.weights not in ("random", "pretrain"):
                weights_entry(settings.name, settings.weights)
            origin = planned(settings.name, settings.weights, input_size=settings.input_size)
            trace = Trace(origin)
        trace.require_runs()
        chosen = choose_layers(trace.model, settings.layers)
    except CortuneError as error:
        yield str(error)
        return
    wanted = [("backbone.layers", layer) for layer in chosen]
    wanted += [(f"probes.{name}.layer", probe.layer) for name, probe in config.probes.items()]
    if config.probes and config.saliency is not None:
        wanted.append(("saliency.layer", config.saliency.layer))
    if mapped := config.contrastive_plus.image_layer:
        wanted.append(("contrastive_plus.image_layer", mapped))
    for key, layer in wanted:
        try:
            trace.check(layer, key, settings.tokens if key == "backbone.layers" else "all")
        except CortuneError as error:
            yield str(error)
    try:
        adapt(trace.model, config.tuning.adapt)  # last, since it changes the network
    except CortuneError as error:
        yield str(error)


def _probe_problems(config: Config) -> Iterator[str]:
    from cortune.probes import ProbeSpec, probe_problems

    for name, probe in config.probes.items():
        for problem in probe_problems(ProbeSpec(**probe.source())):
            yield f"probes.{name}: {problem}"
