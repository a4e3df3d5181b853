"""What a job sees, what it proves of its version, and how its errors are told."""

from __future__ import annotations

import copy
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from algonauts_tree import write_tree
from example import EXAMPLE, changed
from fake import CONFIG, UNIT, Names, snakemake_of

from cortune import jobs
from cortune.address import Address
from cortune.config import Config
from cortune.errors import InputError, ResourceError
from cortune.jobs import Job
from cortune.project import Project
from cortune.settings import UndeclaredKey
from cortune.stages import STAGES


def project_of(mapping=CONFIG, results="results"):
    return Project(Config.from_mapping(mapping), str(results))


def job(stage="encode_roi", address=UNIT, mapping=CONFIG, results="results"):
    return Job(snakemake_of(project_of(mapping, results), stage, address))


def test_a_job_knows_itself_by_the_path_of_what_it_makes(tmp_path):
    for results in ("results", str(tmp_path / "deep" / "results")):
        found = job(results=results)
        assert (found.results, found.stage, found.address) == (
            results,
            STAGES["encode_roi"],
            UNIT,
        )
        assert found.version == project_of(results=results).version("encode_roi", UNIT)


def test_settings_of_encoding_models_are_those_of_the_configuration():
    mapping = {**CONFIG, "encoding": {"memory_gb": 0.5, "n_components": 7}}
    settings = job(mapping=mapping).encoding_settings()
    assert settings.memory == 5e8 and settings.n_components == 7
    assert next(iter(settings.alphas)) == pytest.approx(0.1)


def test_a_job_reads_what_its_stage_declares_and_how_it_runs():
    found = job()
    assert found.config.encoding.folds == 5 and found.config.device == "auto"
    with pytest.raises(UndeclaredKey, match=r"encode_roi.*split"):
        _ = found.config.split


def test_a_job_of_a_tuning_method_has_its_recipe():
    for method, section in (("contrastive", "contrastive"), ("regression", "regression")):
        found = job("tune_network", UNIT.but(method=method))
        assert found.recipe == getattr(Config.from_mapping(CONFIG), section)


def test_provenance_says_what_the_version_covers():
    provenance = job().provenance(raw={"a": "b"}, notes={"device": "cpu"}).as_dict()
    known = project_of()
    assert provenance["version"] == known.version("encode_roi", UNIT)
    assert provenance["inputs"] == {
        stage: known.version(stage, UNIT)
        for stage in ("extract_features", "decompose_features", "prepare_responses")
    }
    assert provenance["config"]["encoding.folds"] == 5
    assert provenance["raw"] == {"a": "b"} and provenance["notes"] == {"device": "cpu"}


def test_checkpoints_lie_beside_the_stages_not_among_them(tmp_path):
    """Snakemake removes what an interrupted job was writing, and its folder's content."""
    address = UNIT.but(method="contrastive")
    found = job("tune_network", address, results=tmp_path / "results")
    path = found.scratch(found.output.network)
    inside = Path(found.output.network).relative_to(tmp_path / "results")
    assert path == (tmp_path / "results" / "scratch" / inside).with_suffix(".checkpoint")
    other = job("tune_network", address.but(subject="subj02"), results=tmp_path / "results")
    assert other.scratch(other.output.network) != path


def test_networks_of_a_folder_have_files_of_their_own():
    address = Address("nsd", "subj01", "all", "all", "contrastive", "0", probe="scenes")
    mapping = changed(EXAMPLE, datasets__nsd__rois=["V1v", "PPA"])
    found = job("probe_network", address, mapping)
    networks = [network for _, network in found.networks("networks")]
    assert {(n.hemisphere, n.roi) for n in networks} == {
        (hemisphere, roi) for hemisphere in ("lh", "rh") for roi in ("V1v", "PPA")
    }
    names = [found.inside("folder", network, "probe.h5") for network in networks]
    assert "folder/hemi-lh_roi-V1v_probe.h5" in names and len(set(names)) == 4


def test_the_untuned_network_is_found_by_its_path_without_entities():
    address = Address("nsd", "all", "all", "all", "untuned", "0", probe="scenes")
    ((path, network),) = job("probe_network", address, EXAMPLE).networks("networks")
    assert path.endswith("network.safetensors") and network.model == "untuned"
    assert Job.inside("folder", network, "probe.h5") == "folder/probe.h5"


# ---- what a job proves


EVERY = [
    (stage, address)
    for stage, addresses in project_of(EXAMPLE).jobs.items()
    for address in addresses[-1:]
]


@pytest.mark.parametrize(("stage", "address"), EVERY, ids=[stage for stage, _ in EVERY])
def test_every_job_finds_the_version_that_was_planned(stage, address):
    job(stage, address, EXAMPLE).check()


def test_another_configuration_than_was_planned_for_is_found():
    planned = snakemake_of(project_of(), "encode_roi", UNIT)
    planned.config["encoding"]["folds"] = 4
    with pytest.raises(InputError, match="since the run was planned.*Run the same command"):
        Job(planned).check()
    unread = snakemake_of(project_of(), "encode_roi", UNIT)
    unread.config["encoding"]["min_noise_ceiling"] = 0.3
    unread.config["device"] = "cpu"
    Job(unread).check()


def test_other_inputs_than_were_planned_for_are_found():
    def given(change):
        planned = snakemake_of(project_of(), "encode_roi", UNIT)
        named = dict(planned.input.items())
        planned.input = Names(**change(named))
        return Job(planned)

    given(dict).check()
    grams = given(dict).input.grams
    wrong = [
        {"grams": grams.replace("sub-subj01", "sub-subj02")},
        {"grams": re.sub(r"/\d+-", "/0-", grams)},
        {"responses": grams, "grams": given(dict).input.responses},
        {"more": grams},
    ]
    for change in wrong:
        with pytest.raises(InputError, match="since the run was planned"):
            given(lambda named, change=change: named | change).check()
    with pytest.raises(InputError):
        given(lambda named: {"grams": named["grams"]}).check()


def test_other_facts_than_were_planned_for_are_found():
    planned = snakemake_of(project_of(), "tabulate_encoding", Address())
    Job(planned).check()
    planned.params["facts"] = [{"roi": "V1v"}]
    with pytest.raises(InputError, match="since the run was planned"):
        Job(planned).check()


# ---- raw files


REAL = {
    "datasets": {"nsd": {"layout": "algonauts2023", "subjects": ["subj01"], "rois": ["V1v"]}},
    "backbone": {"weights": "random"},
}
IMAGES = Address("nsd", "subj01")


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    return write_tree(tmp_path_factory.mktemp("data") / "algonauts")


@pytest.fixture
def planned(tree, tmp_path):
    """A job that was planned, and a picture that it is to read."""
    root = shutil.copytree(tree.root, tmp_path / "data")
    mapping = copy.deepcopy(REAL)
    mapping["datasets"]["nsd"]["root"] = str(root)
    known = project_of(mapping, tmp_path / "results")
    picture = sorted(root.rglob("*.png"))[0]
    return snakemake_of(known, "prepare_images", IMAGES), picture


def test_raw_files_that_stay_as_they_are_pass(planned):
    Job(planned[0]).check()


def flipped(picture):
    content = bytearray(picture.read_bytes())
    content[-1] ^= 1
    picture.write_bytes(content)


def flipped_with_its_times(picture):
    times = picture.stat()
    flipped(picture)
    os.utime(picture, ns=(times.st_atime_ns, times.st_mtime_ns))


@pytest.mark.parametrize("change", [flipped, flipped_with_its_times])
@pytest.mark.parametrize("before", [True, False])
def test_raw_files_that_change_after_planning_or_while_the_job_runs_are_found(
    planned, change, before
):
    snakemake, picture = planned
    if before:
        change(picture)
    found = Job(snakemake)
    if not before:
        change(picture)
    with pytest.raises(InputError, match="raw files that changed since the run was planned"):
        found.check()


def test_raw_files_that_change_and_change_back_while_the_job_runs_are_found(planned):
    """It may have read what was there in between."""
    snakemake, picture = planned
    found = Job(snakemake)
    flipped(picture)
    flipped(picture)
    with pytest.raises(InputError, match="raw files that changed"):
        found.check()


def test_a_raw_file_that_is_removed_is_named(planned):
    snakemake, picture = planned
    found = Job(snakemake)
    picture.unlink()
    with pytest.raises(InputError):
        found.check()
    with pytest.raises(InputError):
        Job(snakemake).check()


def test_a_raw_file_that_was_copied_in_the_meantime_is_the_same(planned):
    snakemake, picture = planned
    copied = shutil.copy(picture, picture.with_name("copy"))
    Path(copied).replace(picture)
    Job(snakemake).check()


# ---- devices


def test_without_a_gpu_numpy_encodes_and_torch_is_not_loaded(monkeypatch):
    monkeypatch.setattr(jobs, "_GPU_FILES", ())
    assert jobs._array_device("auto") is None
    assert jobs._array_device("cpu") is None


def test_a_gpu_that_is_asked_for_must_be_there():
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        assert jobs._array_device("cuda").startswith("cuda:")
    else:
        with pytest.raises(ResourceError, match="device"):
            jobs._array_device("cuda")


def test_a_gpu_file_without_a_working_gpu_leaves_the_cpu(monkeypatch, tmp_path):
    torch = pytest.importorskip("torch")
    (tmp_path / "nvidiactl").touch()
    monkeypatch.setattr(jobs, "_GPU_FILES", (tmp_path / "nvidiactl",))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert jobs._array_device("auto") is None


# ---- logs


LOGGED = """
import sys, time
from pathlib import Path
tests, folder, name = sys.argv[1:]
sys.path.insert(0, tests)
from fake import run_encoding
folder = Path(folder)

def main(job):
    (folder / f"{name}.started").touch()
    while not (folder / f"{name}.may-end").exists():
        time.sleep(0.01)
    print(name, "was here")

run_encoding(f"{folder}/results", str(folder / "job.log"), main)
"""


@pytest.mark.parametrize("killed", [False, True])
def test_a_job_waits_for_the_same_job_of_a_run_that_was_killed_alone(tmp_path, killed):
    def start(name):
        command = [sys.executable, "-c", LOGGED, str(Path(__file__).parent), str(tmp_path), name]
        return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)

    def started(name):
        return (tmp_path / f"{name}.started").exists()

    orphan, second = start("orphan"), None
    try:
        wait_for(lambda: started("orphan"))
        second = start("second")
        assert "waiting for its end" in second.stderr.readline()
        assert not started("second")
        if killed:
            orphan.kill()
        else:
            (tmp_path / "orphan.may-end").touch()
        wait_for(lambda: started("second"))
        (tmp_path / "second.may-end").touch()
        assert second.wait(20) == 0
        assert (tmp_path / "job.log").read_text() == "second was here\n"
    finally:
        for process in filter(None, (orphan, second)):
            process.kill()
            process.communicate()


INTERRUPTED = """
import sys, time
from pathlib import Path
tests, folder = sys.argv[1:]
sys.path.insert(0, tests)
from cortune.artifacts import atomic
from fake import run_encoding
folder = Path(folder)

def main(job):
    with atomic(job.output[0]) as temporary:
        temporary.write_text("half")
        (folder / "started").touch()
        time.sleep(60)

run_encoding(f"{folder}/results", str(folder / "job.log"), main)
"""


def test_an_interrupted_job_says_how_to_go_on_without_a_traceback(tmp_path):
    command = [sys.executable, "-c", INTERRUPTED, str(Path(__file__).parent), str(tmp_path)]
    process = subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        text=True,
        # A shell's background job, as this may be, ignores Ctrl-C, and so would what it starts.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        wait_for((tmp_path / "started").exists)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=20)
    finally:
        process.kill()
    assert (process.returncode, said) == (130, "")
    log = (tmp_path / "job.log").read_text()
    assert log == "stopped; the same command goes on from here\n"
    assert [path for path in (tmp_path / "results").rglob("*") if path.is_file()] == []


def wait_for(condition, seconds=20):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.mark.parametrize("folder", ["", ".snakemake/storage/s3/bucket/project/"])
def test_the_latest_run_lies_in_the_working_folder_wherever_files_are_kept(folder):
    assert job(results=f"{folder}results").home == "results"


@pytest.mark.parametrize(("given", "expected"), [({}, "10000"), ({"GOMP_SPINCOUNT": "7"}, "7")])
def test_threads_of_a_job_are_few_and_do_not_spin_for_long(given, expected):
    code = (
        "import os; from cortune.jobs import _limit_threads; _limit_threads(2)\n"
        "print(os.environ['OMP_NUM_THREADS'], os.environ['GOMP_SPINCOUNT'])"
    )
    inherited = {key: value for key, value in os.environ.items() if key != "GOMP_SPINCOUNT"}
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command, env=inherited | given, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["2", expected]
