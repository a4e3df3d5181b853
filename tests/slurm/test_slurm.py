"""The workflow through profiles/slurm on a real SLURM, with what goes wrong on clusters."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from cluster import Cluster, unavailable, wait_for

pytestmark = [
    pytest.mark.slurm,
    pytest.mark.skipif(unavailable() is not None, reason=unavailable() or ""),
]
CONFIG = {
    "datasets": {
        "nsd": {
            "layout": "algonauts2023",
            "subjects": ["subj01"],
            "rois": ["V1v"],
            "simulate": {
                "n_images": 120,
                "n_shared": 30,
                "n_test_images": 2,
                "image_size": 32,
                "n_classes": 5,
                # Too few in the right hemisphere to be tuned to, which saves its jobs.
                "vertices": {"V1v": {"lh": 30, "rh": 10}},
            },
        }
    },
    "split": {"tune": 0.4, "validation": 0.2, "test": 0.4},
    "backbone": {
        "name": "alexnet_small",
        "weights": "random",
        "input_size": 64,
        "layers": ["features.2", "features.12"],
    },
    "tuning": {"methods": ["untuned", "contrastive"], "precision": "float32"},
    # Long enough to be cancelled while it runs.
    "contrastive": {"epochs": 60, "batch_size": 16, "learning_rate": 1.0e-3},
    "encoding": {"folds": 3, "protocols": ["heldout_cv"]},
    "statistics": {"n_bootstrap": 100, "n_permutations": 100},
}
# What the real workflow cannot show: two jobs that hold a GPU each until both have started,
# and one that never ends at its first attempt.
PROBLEMS = """
rule all:
    input: "device-0", "device-1", "limit"

rule device:
    output: "device-{n}"
    resources: gpu=1, slurm_partition="gpu", mem_mb=400, runtime=2
    shell: "echo $CUDA_VISIBLE_DEVICES > held-{wildcards.n}; "
        "for i in $(seq 60); do test -e held-0 -a -e held-1 && break; sleep 1; done; "
        "sleep 2; mv held-{wildcards.n} {output}"

rule limit:
    output: "limit"
    resources: mem_mb=400, runtime=lambda wildcards, attempt: attempt
    shell: "squeue -h -j $SLURM_JOB_ID -o %l >> limits; "
        "if test $(wc -l < limits) -eq 1; then sleep 600; fi; mv limits {output}"
"""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    running = Cluster(tmp_path_factory.mktemp("cluster") / "slurm")
    for folder in running.folder.parents:
        # munged runs as a user of its own and must reach its folder.
        if str(folder).startswith(str(tmp_path_factory.getbasetemp().parent)):
            folder.chmod(0o755)
    try:
        running.start()
        yield running
    finally:
        running.stop()


def snakemake(folder: Path, *arguments: str, snakefile: Path) -> subprocess.Popen:
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(snakefile)]
    command += ["--directory", str(folder), *arguments]
    with (folder / "said").open("w") as said:
        return subprocess.Popen(
            command, stdout=said, stderr=subprocess.STDOUT, cwd=folder, start_new_session=True
        )


def finish(process: subprocess.Popen, folder: Path, seconds: float) -> str:
    """Wait for the end and return what was said; the run must succeed."""
    try:
        code = process.wait(seconds)
    finally:
        stop(process)
    said = (folder / "said").read_text()
    assert code == 0, said[-6000:]
    return said


def stop(process: subprocess.Popen) -> None:
    """Interrupt a run that has not ended; it cancels its jobs."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGINT)
        process.wait(60)


def tuning(cluster: Cluster, run: subprocess.Popen, other_than: str = "") -> list[str]:
    """Wait for a running job of tune_network, and return it."""

    def found() -> list[str]:
        assert run.poll() is None, "the workflow ended before the job was seen to run"
        return [number for number in cluster.running("tune_network") if number != other_than]

    return wait_for(found, 300)


def submitted(said: str) -> int:
    return said.count("has been submitted with SLURM jobid")


def tables(folder: Path) -> dict[str, bytes]:
    found = sorted((folder / "results" / "latest" / "tables").iterdir())
    return {path.name: path.read_bytes() for path in found}


@pytest.fixture(scope="module")
def local(tmp_path_factory, repository):
    """The same workflow without SLURM."""
    folder = tmp_path_factory.mktemp("local")
    (folder / "config.yaml").write_text(yaml.safe_dump(CONFIG))
    options = ("--cores", "2", "--configfile", str(folder / "config.yaml"))
    finish(snakemake(folder, *options, snakefile=repository / "Snakefile"), folder, 400)
    return folder


def test_a_cancelled_job_and_a_lost_controller_change_nothing(cluster, local, repository, tmp_path):
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(CONFIG))
    options = (
        "--workflow-profile", str(repository / "profiles" / "slurm"),
        "--configfile", str(tmp_path / "config.yaml"),
    )  # fmt: skip
    run = snakemake(tmp_path, *options, snakefile=repository / "Snakefile")
    try:
        (cancelled,) = tuning(cluster, run)
        subprocess.run(["scancel", cancelled], check=True)
        # While the step runs: one that is to begin would wait two minutes for the controller.
        tuning(cluster, run, other_than=cancelled)
        cluster.stop_controller()
        time.sleep(5)
        cluster.start_controller()
        said = finish(run, tmp_path, 500)
    finally:
        stop(run)
    assert "CANCELLED" in said
    assert tables(tmp_path) == tables(local)
    assert len(tables(local)) >= 8

    again = snakemake(tmp_path, *options, snakefile=repository / "Snakefile")
    said = finish(again, tmp_path, 120)
    assert "Nothing to be done" in said and submitted(said) == 0


def test_gpus_are_shared_out_and_a_longer_limit_is_asked_for(cluster, repository, tmp_path):
    (tmp_path / "Snakefile").write_text(PROBLEMS)
    profile = yaml.safe_load((repository / "profiles" / "slurm" / "config.yaml").read_text())
    # The profile as it is, but for the rules that this workflow has not.
    for key in ("set-resources", "set-threads", "groups", "group-components"):
        profile.pop(key, None)
    (tmp_path / "profile").mkdir()
    (tmp_path / "profile" / "config.yaml").write_text(yaml.safe_dump(profile))
    options = ("--workflow-profile", str(tmp_path / "profile"))
    said = finish(snakemake(tmp_path, *options, snakefile=tmp_path / "Snakefile"), tmp_path, 400)
    devices = {(tmp_path / f"device-{n}").read_text().strip() for n in range(2)}
    assert devices == {"0", "1"}
    assert (tmp_path / "limit").read_text().split() == ["1:00", "2:00"]
    assert "TIMEOUT" in said
