"""The workflow as a module of another, and from the wheel."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml
from tiny import TINY

pytestmark = pytest.mark.workflow
REPOSITORY = Path(__file__).resolve().parents[2]
SMALL = {
    "datasets": {
        "nsd": {**TINY["datasets"]["nsd"], "subjects": ["subj01"]},
    },
    **{key: TINY[key] for key in ("split", "backbone", "statistics")},
    "tuning": {"methods": ["untuned"]},
    "encoding": {"folds": 3, "protocols": ["heldout_cv"]},
    "export": {"methods": ["untuned"]},
}


def snakemake(folder, *arguments, **environment):
    command = [sys.executable, "-m", "snakemake", "--cores", "1", *arguments]
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, env={**os.environ, **environment}
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.long
def test_a_module_of_another_workflow_runs_whole(tmp_path):
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(SMALL))
    (tmp_path / "Snakefile").write_text(
        f"""
configfile: "small.yaml"


module cortune:
    snakefile:
        {str(REPOSITORY / "Snakefile")!r}
    config:
        config


use rule * from cortune as ct_*


rule all:
    default_target: True
    input:
        rules.ct_all.input,
"""
    )
    snakemake(tmp_path)
    assert (tmp_path / "results/latest/tables/encoders.csv").is_file()


def test_the_demo_is_planned_in_a_folder_without_a_configuration(tmp_path):
    said = snakemake(
        tmp_path, "--dry-run", "--snakefile", str(REPOSITORY / "Snakefile"), "--directory", "."
    )
    assert "encode_roi" in said


@pytest.mark.long
def test_the_wheel_lays_out_a_project_that_runs(tmp_path):
    pip = [sys.executable, "-m", "pip", "--quiet"]
    build = [*pip, "wheel", "--no-deps", "--wheel-dir", str(tmp_path), str(REPOSITORY)]
    done = subprocess.run(build, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("cortune-*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert "cortune/workflow_files/workflow/scripts/encode_roi.py" in names
    site = tmp_path / "site"
    subprocess.run([*pip, "install", "--no-deps", "--target", str(site), str(wheel)], check=True)
    project = tmp_path / "project"
    environment = {"PYTHONPATH": str(site)}
    command = [sys.executable, "-m", "cortune.cli", "init", str(project)]
    subprocess.run(command, check=True, env={**os.environ, **environment}, cwd=tmp_path)
    assert "encode_roi" in snakemake(project, "--dry-run", **environment)
    small = project / "config" / "small.yaml"
    small.write_text(yaml.safe_dump(SMALL))
    snakemake(project, "--configfile", str(small), **environment)
    assert (project / "results/latest/tables/encoders.csv").is_file()
    again = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, **environment}
    )
    assert again.returncode == 1 and "something there already" in again.stderr
