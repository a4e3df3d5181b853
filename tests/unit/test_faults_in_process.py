"""Faults at every write, seal, copy and checkpoint of jobs and of planning.

Whatever was struck, what lies at a file's final place is whole, and the same work repeated
ends with the bytes of an undisturbed run. Real kills of Snakemake and its jobs are in
tests/workflow.
"""

from __future__ import annotations

import contextlib
import copy
import re
import shutil
from dataclasses import replace
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import pytest
from fake import workflow
from in_process import (
    JobFailed,
    changes,
    contents,
    fails_at,
    killed_at,
    remove,
    run_all,
    run_job,
)

from cortune.address import Address
from cortune.config import Config
from cortune.planning import Planning
from cortune.project import Project
from cortune.settings import Settings, UndeclaredKey, keys_of
from cortune.stages import STAGES

pytestmark = pytest.mark.long

pytest.importorskip("torch")

BRAIN = {
    "layout": "algonauts2023",
    "rois": ["V1v"],
    "simulate": {
        "n_images": 60,
        "n_shared": 20,
        "n_test_images": 1,
        "image_size": 32,
        "n_classes": 4,
        "vertices": {"V1v": {"lh": 25, "rh": 0}, "FBA-1": 3},
    },
}
CONFIG = {
    "datasets": {
        "nsd": {**BRAIN, "subjects": ["subj01", "subj02"]},
        "other": {**BRAIN, "subjects": ["subj01"]},
    },
    "split": {"tune": 0.4, "validation": 0.2, "test": 0.4},
    "backbone": {
        "name": "alexnet_small",
        "weights": "random",
        "input_size": 32,
        "layers": ["features.2", "features.12"],
    },
    "tuning": {
        "dataset": "nsd",
        "methods": ["untuned", "regression", "contrastive", "pooled_mean"],
        "precision": "float32",
    },
    "contrastive": {"epochs": 2, "batch_size": 16},
    "regression": {"epochs": 2, "batch_size": 16},
    "encoding": {
        "folds": 3,
        "protocols": ["heldout_cv"],
        "size_curve": {"sizes": [10], "methods": ["untuned"]},
    },
    "statistics": {"n_bootstrap": 100, "n_permutations": 100},
    "transfer": {
        "subjects": True,
        "methods": ["contrastive"],
        "datasets": [{"source": "nsd", "target": "other", "rois": {"V1v": ["V1v"]}}],
    },
    "probes": {"scenes": {"kind": "scenes", "n_images": 40, "n_classes": 3}},
    "landscape": {"methods": ["inpca"], "n_permutations": 100},
    "saliency": {
        "probe": "scenes",
        "n_images": 6,
        "n_permutations": 100,
        "methods": ["contrastive"],
    },
}
_OTHER_LAYOUTS = {
    f"datasets.{{dataset}}.{key}" for key in ("top_vertices", "sessions", "space", "repeats")
}
_IN_PROVENANCE = (
    "bound_information",
    "embed_networks",
    "map_saliency",
    "prepare_probe",
    "probe_network",
    "tabulate_comparison",
    "tabulate_lateralization",
    "tune_network",
    "tune_pooled",
)
_NAMES_ITS_SPLIT = (
    *("bound_information", "tabulate_encoding", "tabulate_size_curve", "tabulate_transfer"),
)
_FRAMING = {"backbone.crop", "backbone.input_size"}
# What the settings of no job here are asked for: options of readers of other layouts, the probe
# that says which images are an input, the seed and the name of the split where they are taken
# from the provenance, and the framing of pictures, which jobs have as facts.
NOT_ASKED = {
    "prepare_images": _OTHER_LAYOUTS | _FRAMING,
    "prepare_responses": _OTHER_LAYOUTS,
    **{name: {"seed", "saliency.probe"} for name in _IN_PROVENANCE},
    **{name: {"seed", "split.by"} for name in _NAMES_ITS_SPLIT},
    "prepare_probe": {"seed"} | _FRAMING,
}
# Stages without a job under the configuration above.
NO_JOB = {
    *("prepare_whole", "export_encoder", "tabulate_encoders", "measure_similarity"),
    *("compare_networks", "relate_repeats", "tabulate_similarity", "plot_similarity"),
}
OTHER_BACKBONE = {"weights": "pretrain", "pretrain": {"n_images": 100, "n_classes": 3, "epochs": 1}}


def project_of(**changed: dict) -> Project:
    mapping = copy.deepcopy(CONFIG)
    for section, values in changed.items():
        mapping[section].update(values)
    return Project(Config.from_mapping(mapping))


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> SimpleNamespace:
    """An undisturbed run of every stage, and which keys the jobs of each stage read."""
    folder = tmp_path_factory.mktemp("finished")
    read: dict[str, set[str]] = {name: set() for name in STAGES}
    with contextlib.chdir(folder), pytest.MonkeyPatch.context() as patch:
        patch.setattr("cortune.settings.Settings._get", _recording(read))
        run_all(project_of())
        pretrained = project_of(backbone=OTHER_BACKBONE)
        run_job(pretrained, "pretrain_backbone", Address())
    return SimpleNamespace(folder=folder, read=read)


def _recording(read: dict[str, set[str]]):
    get = Settings._get

    def recording(self, name, find):
        value = get(self, name, find)
        if not isinstance(value, Settings):
            read[self._stage].add(f"{self._prefix}{name}")
        return value

    return recording


@pytest.fixture
def space(finished, tmp_path, monkeypatch) -> Path:
    """A copy of the undisturbed run, to spoil; the working directory."""
    shutil.copytree(finished.folder, tmp_path / "space")
    monkeypatch.chdir(tmp_path / "space")
    return tmp_path / "space" / "results"


def strike_every(project: Project, name: str, address: Address, results: Path, strike) -> int:
    """Strike a job at each of its changes in turn; return how many there were.

    Each time what is there must be whole, and the same job again must make the same bytes.
    """
    expected = contents(results)

    def work() -> None:
        run_job(project, name, address)

    for n in count():
        remove(project, name, address)
        if not strike(n, results, work):
            return n
        there = contents(results)
        made = {project.path(name, key, address) for key in STAGES[name].outputs}
        for path in map(Path, made):
            inside = path.relative_to(project.results).as_posix()
            if path.is_file():
                assert there[inside] == expected[inside], f"{inside} after change {n}"
        work()
        assert contents(results) == expected, f"after change {n}"
    raise AssertionError("never ends")


SMALL = [
    "prepare_images",
    "prepare_responses",
    "split_images",
    "prepare_backbone",
    "prepare_probe",
    "extract_features",
    "encode_roi",
    "tabulate_encoding",
    "plot_information",
]
STRIKES = {"killed": killed_at, "failing disk": fails_at}


@pytest.mark.parametrize("strike", STRIKES)
@pytest.mark.parametrize("name", SMALL)
def test_struck_at_any_change_a_job_ends_with_the_same_bytes(name, strike, space):
    project = project_of()
    address = project.jobs[name][-1]
    # A file to write, its place to rename it to, and its seal, at the least.
    assert strike_every(project, name, address, space, STRIKES[strike]) >= 4


@pytest.mark.parametrize("strike", STRIKES)
@pytest.mark.parametrize("name", ["tune_network", "tune_pooled"])
def test_struck_at_any_change_tuning_goes_on_from_its_checkpoint(name, strike, space):
    project = project_of()
    address = project.jobs[name][-1]
    checkpoints = [
        path
        for _, path in changes(space, lambda: run_job(project, name, address))
        if path.name.endswith(".checkpoint")
    ]
    assert len(checkpoints) >= CONFIG["contrastive"]["epochs"]
    assert strike_every(project, name, address, space, STRIKES[strike]) >= 10


def test_killed_while_it_simulates_a_job_ends_with_the_same_bytes(space):
    """Files in a data set's own folder; some of the many changes, the last ones among them."""
    project = project_of()
    address = Address("nsd", "subj02")
    expected = contents(space)

    def work() -> None:
        run_job(project, "simulate_dataset", address)

    record = Path(project.path("simulate_dataset", "record", address))
    n_changes = len(changes(space, work))
    assert n_changes > 100
    for n in sorted({*range(0, n_changes, n_changes // 8), *range(n_changes - 6, n_changes)}):
        record.unlink(missing_ok=True)
        assert killed_at(n, space, work)
        if record.is_file():
            assert (
                contents(space).items()
                >= {key: value for key, value in expected.items() if "sha256" not in key}.items()
            )
        work()
        assert contents(space) == expected, f"after change {n}"


def _stale(results: Path) -> None:
    """Have ``results/latest`` be of another run."""
    latest = results / "latest"
    (latest / "tables" / "encoding.csv").write_text("another run's\n")
    (latest / "tables" / "extra.csv").write_text("another run's\n")
    (latest / "manifest.json").write_text("{}\n")


def _latest_is_whole(results: Path, expected: dict[str, bytes]) -> None:
    """A manifest is there only with all that it vouches for."""
    there, manifest = contents(results), "latest/manifest.json"
    if there.get(manifest) == expected[manifest]:
        assert _of_latest(there) == _of_latest(expected)
    elif manifest in there:
        assert there["latest/tables/encoding.csv"] == b"another run's\n"


def _of_latest(found: dict[str, bytes]) -> dict[str, bytes]:
    return {key: value for key, value in found.items() if key.startswith("latest/")}


@pytest.mark.parametrize("strike", STRIKES)
def test_struck_at_any_change_publishing_never_mixes_runs(strike, space):
    project, expected = project_of(), contents(space)

    def work() -> None:
        run_job(project, "publish_results", Address())

    for n in some_of(space, work, lambda: _stale(space)):
        _stale(space)
        if not STRIKES[strike](n, space, work):
            break
        _latest_is_whole(space, expected)
        work()
        assert contents(space) == expected, f"after change {n}"


def some_of(results: Path, work, prepare) -> list[int]:
    """Return which changes to strike: all but most copies of tables and figures."""
    prepare()
    seen = changes(results, work)
    copies = [
        n for n, (event, path) in enumerate(seen) if event == "open" and ".part" in path.parent.name
    ]
    skipped = set(copies[1:-1]) - {copies[len(copies) // 2]}
    return [n for n in range(len(seen) + 1) if n not in skipped]


@pytest.fixture
def real(space) -> tuple[Path, Config]:
    """A configuration whose data set is no simulated one: its folder is where one was written."""
    root = next(space.glob("simulate_dataset/*/ds-other/algonauts2023"))
    mapping = copy.deepcopy(CONFIG)
    mapping["datasets"]["nsd"] = {
        "layout": "algonauts2023",
        "root": str(root),
        "subjects": ["subj01"],
        "rois": ["V1v"],
    }
    mapping["transfer"] = {"subjects": False}
    return space, Config.from_mapping(mapping)


def plan(config: Config) -> list[str]:
    """Plan as the main process of Snakemake does; return what a complete run leaves."""
    planning = Planning(config, workflow())
    wanted = planning.everything()
    planning.start()
    return wanted


@pytest.mark.parametrize("strike", STRIKES)
def test_struck_at_any_change_planning_starts_again(strike, real):
    """Fingerprints of raw files, and the plan for processes of jobs."""
    results, config = real
    written = (".plans", ".fingerprints.json")
    wanted = plan(config)
    expected = contents(results)
    assert any(key.startswith(written[0]) for key in expected) and written[1] in expected
    for n in count():
        shutil.rmtree(results / ".plans")
        (results / ".fingerprints.json").unlink()
        if not STRIKES[strike](n, results, lambda: plan(config)):
            break
        there = contents(results)
        assert all(there[key] == expected[key] for key in there if ".part" not in key)
        assert plan(config) == wanted
        again = contents(results)
        assert {key: again[key] for key in expected} == expected, f"after change {n}"
    assert n >= 4


@pytest.mark.parametrize("strike", STRIKES)
def test_struck_at_any_change_planning_puts_a_whole_run_in_place(strike, space):
    config, results = project_of().config, space
    plan(config)
    expected = contents(results)
    for n in some_of(results, lambda: plan(config), lambda: _stale(results)):
        _stale(results)
        if not STRIKES[strike](n, results, lambda: plan(config)):
            break
        _latest_is_whole(results, expected)
        plan(config)
        assert contents(results) == expected, f"after change {n}"


@pytest.mark.parametrize("name", sorted(set(STAGES) - NO_JOB))
def test_a_job_that_reads_an_undeclared_key_fails(name, finished, space, monkeypatch):
    """Each declared key in turn is left out, and nothing is declared for nothing."""
    stage, pretrained = STAGES[name], project_of(backbone=OTHER_BACKBONE)
    project = pretrained if name == "pretrain_backbone" else project_of()
    addresses = [Address()] if name == "pretrain_backbone" else project.jobs[name]
    for key in set(stage.reads) - {"*"}:
        for resolved, address in {
            keys_of(project.config, [key], each)[0]: each for each in addresses[::-1]
        }.items():
            asked = any(f"{each}.".startswith(f"{resolved}.") for each in finished.read[name])
            assert asked or key in NOT_ASKED.get(name, ()), f"{name} declares {key} for nothing"
            if asked:
                less = replace(stage, reads=tuple(each for each in stage.reads if each != key))
                with monkeypatch.context() as patch:
                    patch.setitem(STAGES, name, less)
                    with pytest.raises(
                        (JobFailed, UndeclaredKey), match="found a job that"
                    ) as said:
                        run_job(project, name, address)
                named = re.search(r"a job that reads ([\w.]+)", str(said.value))[1]
                assert f"{named}.".startswith(f"{resolved}.") or resolved.startswith(named)
