from __future__ import annotations

import subprocess
import sys
import time
from types import SimpleNamespace

import pytest

from cortune import jobs
from cortune.errors import ResourceError
from cortune.jobs import Job

CONFIG = {
    "datasets": {
        "nsd": {"layout": "algonauts2023", "subjects": ["subj01"], "rois": ["V1v"], "simulate": {}},
        "nod": {"layout": "nod", "subjects": ["sub01"], "rois": ["V1"], "simulate": {}},
    },
    "tuning": {"dataset": "nsd"},
    "encoding": {"memory_gb": 0.5, "n_components": 7},
}


def job(rule="encode_roi", **wildcards):
    return Job(
        SimpleNamespace(
            input=None,
            output=None,
            params=None,
            wildcards=wildcards,
            threads=1,
            rule=rule,
            config=CONFIG,
        )
    )


def test_settings_of_encoding_models_are_those_of_the_configuration():
    settings = job().encoding_settings()
    assert settings.memory == 5e8 and settings.n_components == 7
    assert next(iter(settings.alphas)) == pytest.approx(0.1)


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


def test_rules_that_simulate_the_layouts_are_one_stage():
    assert job("simulate_nod").stage == job("simulate_nsd").stage == "simulate_dataset"
    assert job("encode_roi").stage == "encode_roi"


def test_a_transfer_works_on_the_data_set_it_goes_to():
    assert job("transfer_dataset", target="nod", method="contrastive").dataset == "nod"
    assert job("transfer_subject", method="contrastive").dataset == "nsd"
    known = job("prepare_images")
    version = known.project.versions.of("prepare_images", "nod")
    assert job("prepare_images", version=version, subject="sub01").dataset == "nod"


LOGGED = """
import sys, time
from pathlib import Path
from types import SimpleNamespace
from cortune import jobs
folder, name = Path(sys.argv[1]), sys.argv[2]

def main(job):
    (folder / f"{name}.started").touch()
    while not (folder / f"{name}.may-end").exists():
        time.sleep(0.01)
    print(name, "was here")

jobs.run(
    SimpleNamespace(
        input=[], output=[], params=None, wildcards={}, threads=1, rule="encode_roi",
        log=[folder / "job.log"],
        config={"datasets": {"nsd": {"layout": "algonauts2023", "subjects": ["subj01"],
                                     "simulate": {}}}},
    ),
    main,
)
"""


@pytest.mark.parametrize("killed", [False, True])
def test_a_job_waits_for_the_same_job_of_a_run_that_was_killed_alone(tmp_path, killed):
    def start(name):
        command = [sys.executable, "-c", LOGGED, str(tmp_path), name]
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


def wait_for(condition, seconds=20):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)
