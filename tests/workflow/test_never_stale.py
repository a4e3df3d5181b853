"""No stale number, ever: whatever was changed or killed between two runs of the same command,
the last one ends with the tables of a fresh folder; and where nothing changed, nothing runs.

One small data set on disk is analysed once; every case starts from a copy. What would run is
planned within this process. Real runs of a few cases are in `make test`, of more in
`make test-all` (marked ``long``), and of every change with every disturbance where
CORTUNE_EVERY=1 (some forty minutes).
"""

from __future__ import annotations

import base64
import contextlib
import itertools
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image
from snakemake.settings.enums import RerunTrigger

from conftest import Workspace
from cortune.address import Address
from cortune.config import Config
from cortune.project import Project
from cortune.simulate import SimulationSpec, simulate_layout
from dags import TRIGGERS, needed, outputs_of

pytestmark = pytest.mark.workflow
SPEC = {
    "n_images": 80,
    "n_shared": 30,
    "n_test_images": 2,
    "image_size": 32,
    "n_classes": 5,
    # Too few in one hemisphere to be tuned to, which halves the jobs.
    "vertices": {"V1v": {"lh": 30, "rh": 5}},
}
CONFIG = {
    "datasets": {
        "nsd": {
            "layout": "algonauts2023",
            "root": "data",
            "stim_info": "stim_info.csv",
            "subjects": ["subj01"],
            "rois": ["V1v"],
        }
    },
    "split": {"tune": 0.4, "validation": 0.2, "test": 0.4},
    "backbone": {
        "name": "alexnet_small",
        "weights": "weights.pth",
        "input_size": 64,
        "layers": ["features.2", "features.12"],
    },
    "tuning": {"methods": ["untuned", "contrastive"]},
    "contrastive": {"epochs": 2, "batch_size": 16, "learning_rate": 1.0e-3},
    "encoding": {"folds": 3, "protocols": ["heldout_cv"]},
    "statistics": {"n_bootstrap": 100, "n_permutations": 100},
    "probes": {"pictures": {"kind": "image_folder", "root": "pictures"}},
}
SUBSETS = [
    frozenset(some)
    for size in (1, 2, 3)
    for some in itertools.combinations(sorted(TRIGGERS, key=str), size)
]
CODE = [frozenset({RerunTrigger.CODE}), frozenset(RerunTrigger.all())]
SUBJECT = Path("data/subj01")
FMRI = SUBJECT / "training_split/training_fmri"
IMAGES = SUBJECT / "training_split/training_images"
LABELS = SUBJECT / "roi_masks/lh.prf-visualrois_challenge_space.npy"


class Case(Workspace):
    """A folder with raw data, a configuration and, mostly, a finished run of it."""

    @property
    def config(self) -> Path:
        return self.folder / "config.yaml"

    def configured(self, **changes) -> Path:
        """Write a configuration with other values; keys are dotted with two underscores."""
        config = yaml.safe_load(yaml.safe_dump(CONFIG))
        for key, value in changes.items():
            *inside, last = key.split("__")
            section = config
            for part in inside:
                section = section.setdefault(part, {})
            section[last] = value
        return self.write_config(config)

    def project(self) -> Project:
        """The configuration as it is now, as seen from the folder."""
        return Project(Config.from_file(self.config))

    def outputs(self) -> set[str]:
        """The first output of every job of a run of what is there now."""
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(self.folder)
            return outputs_of(self.project())

    def needed(self, triggers=TRIGGERS) -> set[str]:
        return needed(self.config, self.folder, triggers)

    def copy(self, folder: Path, *, results: bool = True) -> Case:
        """Copy with times, as an archive would, with the results or as a fresh folder."""
        ignored = () if results else ("results", ".snakemake")
        shutil.copytree(self.folder, folder, ignore=shutil.ignore_patterns(*ignored), symlinks=True)
        return Case(folder)

    def tables(self) -> dict[str, bytes]:
        folder = self.folder / "results/latest/tables"
        return {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix != ".json"}


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Case:
    """Raw data, and a finished run of it (that of ``CORTUNE_STALE``, if that is set)."""
    import torch

    from cortune.networks.alexnet_small import AlexNetSmall

    case = Case(tmp_path_factory.mktemp("base"))
    finished = os.environ.get("CORTUNE_STALE")
    if finished:
        shutil.copytree(finished, case.folder, dirs_exist_ok=True, symlinks=True)
        return case
    spec = SimulationSpec.from_mapping(SPEC)
    simulate_layout("algonauts2023", case.folder / "data", ["subj01"], spec, seed=0)
    for seed, name in enumerate(("weights.pth", "others.pth")):
        torch.manual_seed(seed)
        torch.save(AlexNetSmall().state_dict(), case.folder / name)
    generator = np.random.default_rng(0)
    for kind, number in itertools.product(("cat", "dog"), range(8)):
        path = case.folder / "pictures" / kind / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(generator.integers(0, 256, (32, 32, 3), np.uint8)).save(path)
    write_table(case, 1000)
    case.configured()
    case.run(case.config)
    return case


@pytest.fixture
def case(base, tmp_path) -> Case:
    """A copy of the finished run, to change and to disturb."""
    return base.copy(tmp_path / "case")


def write_table(case: Case, first: int) -> None:
    rows = "\n".join(f"{number},{number},{first + number}" for number in range(73000))
    (case.folder / "stim_info.csv").write_text(f",nsdId,cocoId\n{rows}\n")


# ---- what is changed, each a function of a folder


def responses(case: Case) -> None:
    path = case.folder / FMRI / "lh_training_fmri.npy"
    np.save(path, np.roll(np.load(path), 17, axis=0))


def masks(case: Case) -> None:
    labels = np.load(case.folder / LABELS)
    labels[np.flatnonzero(labels)[:4]] = 0
    np.save(case.folder / LABELS, labels)


def picture(case: Case) -> None:
    path = sorted((case.folder / IMAGES).iterdir())[5]
    Image.fromarray(np.asarray(Image.open(path))[::-1]).save(path)


def weights(case: Case) -> None:
    shutil.copyfile(case.folder / "others.pth", case.folder / "weights.pth")


def probe_picture(case: Case) -> None:
    path = case.folder / "pictures/cat/3.png"
    Image.fromarray(255 - np.asarray(Image.open(path))).save(path)


def probe_grown(case: Case) -> None:
    shutil.copyfile(case.folder / "pictures/cat/3.png", case.folder / "pictures/dog/9.png")


def stimulus_table(case: Case) -> None:
    write_table(case, 5000)


def link(case: Case) -> None:
    """The folder of the data is a link, which then leads to other data."""
    (case.folder / "data").rename(case.folder / "one")
    shutil.copytree(case.folder / "one", case.folder / "two")
    (case.folder / "data").symlink_to("two")
    responses(case)


def grown(case: Case) -> None:
    """More pictures than there were, with responses to them."""
    folder = case.folder / IMAGES
    for number, path in enumerate(sorted(folder.iterdir())[:10]):
        new = f"train-{SPEC['n_images'] + number + 1:04}_nsd-{72000 + number:05}.png"
        Image.fromarray(255 - np.asarray(Image.open(path))).save(folder / new)
    for side in ("lh", "rh"):
        path = case.folder / FMRI / f"{side}_training_fmri.npy"
        values = np.load(path)
        np.save(path, np.concatenate([values, values[10:20]]))


def deleted(case: Case) -> None:
    """Files between raw data and tables, with the tables that are made of them."""
    for stage in ("extract_features", "encode_roi", "tabulate_encoding", "probe_network"):
        shutil.rmtree(case.folder / "results" / stage)
    shutil.rmtree(case.folder / "results/tabulate_probes")


def copied(case: Case) -> None:
    """Results copied without their times, and then another setting."""
    without_times(case)
    case.configured(statistics__n_bootstrap=200, contrastive__epochs=1)


def without_times(case: Case) -> None:
    for name in ("results", ".snakemake"):
        (case.folder / name).rename(case.folder / "old")
        subprocess.run(["cp", "-r", "old", name], cwd=case.folder, check=True)
        shutil.rmtree(case.folder / "old")


# Each change with the stages that it must run again, at the least, and one not.
CHANGED: dict[Callable[[Case], None], tuple[set[str], str]] = {
    responses: ({"prepare_responses", "tune_network", "encode_roi"}, "prepare_images"),
    masks: ({"prepare_responses", "tune_network", "encode_roi"}, "prepare_probe"),
    picture: ({"prepare_images", "tune_network", "extract_features"}, "prepare_responses"),
    weights: ({"prepare_backbone", "tune_network", "probe_network"}, "prepare_images"),
    probe_picture: ({"prepare_probe", "probe_network"}, "tune_network"),
    probe_grown: ({"prepare_probe", "probe_network"}, "tune_network"),
    stimulus_table: ({"prepare_images", "prepare_responses", "split_images"}, "prepare_probe"),
    link: ({"prepare_responses", "tune_network", "encode_roi"}, "prepare_images"),
    grown: ({"prepare_images", "prepare_responses", "tune_network"}, "prepare_backbone"),
}
# For real runs: the rule whose job is killed.
DISTURBED: dict[Callable[[Case], None], str] = {
    **dict.fromkeys(CHANGED, "tune_network"),
    probe_picture: "prepare_probe",
    probe_grown: "probe_network",
    deleted: "extract_features",
    copied: "tune_network",
}


# ---- what would run


def stages_of(outputs: set[str]) -> set[str]:
    return {path.split("/")[1] for path in outputs}


@pytest.mark.parametrize("change", CHANGED, ids=lambda change: change.__name__)
def test_changed_data_run_again_what_is_made_of_them_until_set_back(case, base, change):
    """In other folders than the old ones, which are whole when the data are back."""
    before = case.outputs()
    change(case)
    after = case.outputs()
    found = case.needed()
    assert found == after - before
    runs, stays = CHANGED[change]
    assert runs <= stages_of(found) and stays not in stages_of(found)
    assert not any((case.folder / path).exists() for path in found)
    # What was planned is not what a run may have written before the change.
    for triggers in (*SUBSETS[:3], *CODE):
        assert case.needed(triggers) == found, triggers

    shutil.rmtree(case.folder / "results/.plans", ignore_errors=True)
    for path in ("data", "pictures"):
        one = case.folder / path
        one.unlink() if one.is_symlink() else shutil.rmtree(one)
        shutil.copytree(base.folder / path, one)
    for path in ("weights.pth", "stim_info.csv"):
        shutil.copyfile(base.folder / path, case.folder / path)
    assert case.outputs() == before and case.needed() == set()


def test_every_input_that_is_rewritten_with_its_time_restored_is_seen(case):
    """As an editor or an archive would: the same name, size and time of modification."""
    before = case.outputs()
    for path in (FMRI / "lh_training_fmri.npy", Path("weights.pth"), Path("pictures/cat/3.png")):
        file = case.folder / path
        found, content = file.stat(), file.read_bytes()
        rewrite(file)
        assert case.outputs() != before, path
        assert case.needed() == case.outputs() - before
        file.write_bytes(content)
        os.utime(file, ns=(found.st_atime_ns, found.st_mtime_ns))
        assert case.needed() == set()


def rewrite(file: Path) -> None:
    """Change one bit near a file's end in place, and set its times back."""
    found = file.stat()
    with file.open("r+b") as handle:
        handle.seek(-100, os.SEEK_END)
        byte = handle.read(1)[0]
        handle.seek(-100, os.SEEK_END)
        handle.write(bytes([byte ^ 1]))
    os.utime(file, ns=(found.st_atime_ns, found.st_mtime_ns))
    assert file.stat().st_mtime_ns == found.st_mtime_ns


def test_a_photograph_of_the_simulators_brings_another_simulation(workspace):
    """`simulate.images`: the simulator's own inputs are raw files, too."""
    case = Case(workspace.folder)
    for number in range(20):
        pixels = np.random.default_rng(number).integers(0, 256, (40, 40, 3), np.uint8)
        (case.folder / "photographs").mkdir(exist_ok=True)
        Image.fromarray(pixels).save(case.folder / f"photographs/{number:02}.png")
    nsd = {"layout": "algonauts2023", "subjects": ["subj01"], "rois": ["V1v"]}
    simulate = {"image_size": 32, "n_classes": 5, "vertices": SPEC["vertices"]}
    nsd["simulate"] = simulate | {"images": "photographs"}
    case.configured(datasets={"nsd": nsd}, probes={}, backbone__weights="random")
    before = case.outputs()
    case.run(case.config, "--until", "simulate_dataset")
    assert "simulate_dataset" not in stages_of(case.needed())
    photograph = case.folder / "photographs/07.png"
    content = photograph.read_bytes()
    rewrite_picture(photograph)
    changed = stages_of(case.outputs() - before)
    assert {"simulate_dataset", "prepare_images", "prepare_responses"} <= changed
    assert "simulate_dataset" in stages_of(case.needed())
    photograph.write_bytes(content)
    assert case.outputs() == before and "simulate_dataset" not in stages_of(case.needed())


def rewrite_picture(path: Path) -> None:
    Image.fromarray(255 - np.asarray(Image.open(path))).save(path)


def test_nothing_runs_again_where_nothing_changed(case):
    """Under every set of triggers, scripts touched, results copied without times, data moved."""
    for triggers in (*SUBSETS, *CODE):
        assert case.needed(triggers) == set(), triggers
    for script in Path(__file__).parents[2].glob("workflow/scripts/*.py"):
        os.utime(script)
    for triggers in CODE:
        assert case.needed(triggers) == set(), triggers
    without_times(case)
    (case.folder / "moved").mkdir()
    for path in ("data", "pictures", "weights.pth", "stim_info.csv"):
        (case.folder / path).rename(case.folder / "moved" / path)
    case.configured(
        datasets__nsd__root=str(case.folder / "moved/data"),
        datasets__nsd__stim_info="moved/stim_info.csv",
        backbone__weights="moved/weights.pth",
        probes__pictures__root="moved/pictures",
    )
    for triggers in (*SUBSETS, *CODE):
        assert case.needed(triggers) == set(), triggers


def test_a_deleted_intermediate_is_made_again_where_something_asks_for_it(case):
    """Not while all that is made of it is whole. Then Snakemake runs its other consumers of the
    same run as well, to the same bytes, but nothing that is made of those."""
    network = Address("nsd", "subj01", "lh", "V1v", "contrastive", "0")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(case.folder)
        deleted = case.project().path("tune_network", "network", network)
    (case.folder / deleted).unlink()
    assert case.needed() == set()
    before = case.outputs()
    case.configured(features__images="all")
    new = case.outputs() - before
    more = case.needed() - new - {deleted}
    assert "extract_features" in stages_of(new)
    assert stages_of(more) == {"probe_network"}


def test_what_a_killed_job_left_does_not_hide_what_is_to_be_made_of_it(case):
    """Its job went on when Snakemake was killed: the file is there, and not known to be whole."""
    network = Address("nsd", "subj01", "lh", "V1v", "contrastive", "0")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(case.folder)
        left = case.project().path("tune_network", "network", network)
    deleted(case)
    missing = {path for path in case.outputs() if not (case.folder / path).exists()}
    name = base64.urlsafe_b64encode(left.encode()).decode()
    parts = [name[i : i + 254] for i in range(0, len(name), 254)]
    marker = (case.folder / ".snakemake/incomplete").joinpath(
        *(f"@{part}" for part in parts[:-1]), parts[-1]
    )
    marker.parent.mkdir(parents=True, exist_ok=True)
    marker.write_text('{"external_jobid": null}')
    found = case.needed()
    assert left in found and missing <= found


# ---- real runs


def ended(process: subprocess.Popen, seconds: float = 300) -> int:
    try:
        return process.wait(seconds)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def jobs_of(group: int, rule: str) -> list[int]:
    """The processes of a group that do jobs of a rule."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            pid = int(entry.name)
            command = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
            if os.getpgid(pid) == group and any(arg.endswith(f".{rule}.py") for arg in command):
                found.append(pid)
        except (ValueError, OSError):
            continue
    return found


def start(case: Case, *arguments: str) -> subprocess.Popen:
    with (case.folder / "run.log").open("w") as log:
        return subprocess.Popen(
            case.command("--cores", "2", *arguments, config=case.config),
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=case.folder,
            start_new_session=True,
            # A shell starts what runs in the background with Ctrl-C ignored.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )


def disturbed(case: Case, how: str, rule: str) -> None:
    """Run the command and disturb it while a job of a rule works."""
    process, hit = start(case), False
    while process.poll() is None:
        if jobs := jobs_of(process.pid, rule):
            hit = True
            time.sleep(0.5)  # into the job's work, not its imports alone
            if how == "job":  # each time it is tried, as a kernel short of memory would
                for job in jobs:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(job, signal.SIGKILL)
            elif how == "snakemake":
                os.kill(process.pid, signal.SIGKILL)
                break
            else:
                os.killpg(process.pid, signal.SIGINT)
                break
        time.sleep(0.1)
    log = case.folder / "run.log"
    assert ended(process) != 0 and hit, log.read_text()


def agrees_with_a_fresh_folder(case: Case, folder: Path) -> None:
    """Repeat the command; compare the tables with those of a run from nothing."""
    case.run(case.config)
    fresh = case.copy(folder, results=False)
    fresh.run(fresh.config)
    assert case.tables() == fresh.tables()
    assert case.outputs() == fresh.outputs() and case.needed() == set()


HOW = ("undisturbed", "job", "snakemake", "interrupt")
EVERY = bool(os.environ.get("CORTUNE_EVERY"))


def disturbances() -> Iterator[Any]:
    """Yield some changes with a disturbance each; with CORTUNE_EVERY=1, all with all of them."""
    some = {picture: "snakemake", weights: "interrupt", probe_grown: "job", deleted: "job"}
    for change in DISTURBED if EVERY else some:
        how = HOW if EVERY else (some[change],)
        yield pytest.param(change, how, id=f"{change.__name__}-{'-'.join(how)}")


@pytest.mark.long
@pytest.mark.parametrize(("change", "hows"), disturbances())
def test_a_change_under_a_disturbance(base, tmp_path, change, hows):
    fresh = base.copy(tmp_path / "fresh", results=False)
    if change in (deleted, copied):
        (fresh.folder / "results").mkdir()
        (fresh.folder / ".snakemake").mkdir()
    if change is not deleted:
        change(fresh)
    fresh.run(fresh.config)
    for how in hows:
        case = base.copy(tmp_path / how)
        change(case)
        if how != "undisturbed":
            disturbed(case, how, DISTURBED[change])
        case.run(case.config)
        assert case.tables() == fresh.tables(), how
        assert case.needed() == set(), how
        shutil.rmtree(case.folder)


@pytest.mark.long
def test_changes_and_kills_one_after_another(case, base, tmp_path):
    """Each change is met by a run that is killed, the next before anything was repeated."""
    first = case.tables()
    grown(case)
    disturbed(case, "job", "tune_network")
    weights(case)
    disturbed(case, "snakemake", "tune_network")
    probe_picture(case)
    responses(case)
    disturbed(case, "interrupt", "tune_network")
    assert case.tables() == first, "the last complete run"
    agrees_with_a_fresh_folder(case, tmp_path / "fresh")
    assert case.tables().keys() == first.keys() and case.tables() != first

    for path in ("data", "pictures"):
        shutil.rmtree(case.folder / path)
        shutil.copytree(base.folder / path, case.folder / path)
    shutil.copyfile(base.folder / "weights.pth", case.folder / "weights.pth")
    assert case.needed() == set()
    done = case.run(case.config)
    assert "Nothing to be done" in done.stdout + done.stderr
    assert case.tables() == first


@pytest.mark.parametrize("change", [responses, lambda case: rewrite(_lh(case))])
def test_data_that_change_between_planning_and_job_seal_nothing(base, tmp_path, change):
    """Edited, or rewritten in place with their times restored, while the first job starts."""
    case = base.copy(tmp_path / "case", results=False)
    process = start(case, "--until", "prepare_responses")
    while process.poll() is None and not list(case.folder.glob("results/.plans/*.json")):
        time.sleep(0.02)
    change(case)
    assert ended(process) == 1
    said = (case.folder / "run.log").read_text()
    assert "since the run was planned" in said and "run the same command again" in said.lower()
    assert list(case.folder.glob("results/prepare_responses/**/hemi-lh/*responses.h5*")) == []

    fresh = case.copy(tmp_path / "fresh", results=False)
    for each in (case, fresh):
        each.run(each.config, "--until", "prepare_responses")
    files = [one.folder / path for one in (case, fresh) for path in _responses(one)]
    assert files[0].read_bytes() == files[1].read_bytes()


def _lh(case: Case) -> Path:
    return case.folder / FMRI / "lh_training_fmri.npy"


def _responses(case: Case) -> list[str]:
    return [path for path in case.outputs() if "prepare_responses" in path and "hemi-lh" in path]


@pytest.mark.parametrize(
    "sets",
    [(SUBSETS[0], CODE[1]), pytest.param(SUBSETS[1:], marks=pytest.mark.long)],
    ids=["some", "others"],
)
def test_the_latest_run_is_the_one_asked_for(case, sets):
    """A, B, A under each set of triggers: in place at once, and never by a dry run."""
    latest = case.folder / "results/latest"
    first = snapshot(latest)
    case.configured(encoding__min_noise_ceiling=0.2)
    case.run(case.config)
    second = snapshot(latest)
    assert second != first
    for triggers in sets:
        for wanted, value in ((first, 0.05), (second, 0.2)):
            before = snapshot(latest)
            case.configured(encoding__min_noise_ceiling=value)
            assert case.needed(triggers) == set()
            assert snapshot(latest) == before, "a dry run changes nothing"
            names = [str(trigger) for trigger in sorted(triggers, key=str)]
            done = case.run(case.config, "--rerun-triggers", *names)
            assert "Nothing to be done" in done.stdout + done.stderr
            assert snapshot(latest) == wanted, names


def snapshot(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }
