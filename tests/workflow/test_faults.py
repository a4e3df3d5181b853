"""What goes wrong while the workflow runs: kills, full and write-protected disks, damaged files.

Whatever happened, the same command ends with the same bytes.
"""

from __future__ import annotations

import base64
import math
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from tiny import TINY

from conftest import Workspace
from cortune.address import Address
from cortune.artifacts import read_json
from cortune.config import Config
from cortune.project import Project
from cortune.seals import sealed_files
from disks import mounted

pytestmark = pytest.mark.workflow
N_KILLS = 20
PROJECT = Project(Config.from_mapping(TINY))
ENCODING_TABLE = PROJECT.path("tabulate_encoding", "encoding")
ENCODING = PROJECT.path("encode_roi", "encoding", PROJECT.addresses(["untuned"])[0])


def tables(space: Workspace) -> dict[str, bytes]:
    folder = space.folder / "results" / "latest" / "tables"
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def made(space: Workspace) -> list[Path]:
    """Every file that a stage made, with its seal."""
    return [
        path
        for path in (space.folder / "results").glob("*/[0-9]*-*/**/*")
        if path.is_file() and path.name != ".snakemake_timestamp"
    ]


def artifacts(space: Workspace) -> dict[str, object]:
    """What the same work leaves: every file, but for how the file system knew it, and how long
    rules took."""
    found = {str(path.relative_to(space.folder / "results")): path for path in made(space)}
    return {name: _of_the_work(path) for name, path in found.items()}


def _of_the_work(path: Path) -> object:
    if "publish_results" not in path.parts:
        content = path.read_bytes()
        if path.suffix == ".sha256":
            return [line for line in content.splitlines() if not line.startswith(b"#")]
        return content
    return read_json(path) | {"rules": None} if path.name == "manifest.json" else None


@pytest.fixture
def finished(tiny, tmp_path) -> Workspace:
    """A copy of the undisturbed run, to spoil."""
    shutil.copytree(tiny.folder, tmp_path / "finished")
    return Workspace(tmp_path / "finished")


def spoil(path: Path) -> None:
    """Flip one bit in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


class Run:
    """The workflow in a process group of its own, to be killed."""

    def __init__(self, space: Workspace, config: Path) -> None:
        self.log = space.folder / "run.log"
        self.logs = space.folder / ".snakemake" / "log"
        self.before = set(self.logs.glob("*.log"))
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                space.command("--cores", "2", config=config),
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=space.folder,
                start_new_session=True,
            )

    def said(self) -> str:
        """What Snakemake's own log of this run says so far; the terminal has a line a job."""
        return "".join(path.read_text() for path in set(self.logs.glob("*.log")) - self.before)

    def count(self, pattern: str) -> int:
        return len(re.findall(pattern, self.said(), flags=re.MULTILINE))

    def n_done(self) -> int:
        return self.count(r"^\d+ of \d+ steps")

    def n_running(self) -> int:
        return self.count(r"^(Job \d+: |rule |localrule )") - self.n_done()

    def n_left(self) -> int:
        """Jobs still to do; many before it is known."""
        total = re.search(r"^total +(\d+)$", self.said(), flags=re.MULTILINE)
        return int(total[1]) - self.n_done() if total else 1000

    def ended(self) -> bool:
        return self.process.poll() is not None

    def kill(self, *, jobs_too: bool) -> None:
        kill = os.killpg if jobs_too else os.kill
        kill(self.process.pid, signal.SIGKILL)
        self.process.wait()


def interrupted(space: Workspace) -> set[str]:
    """The stages whose jobs Snakemake had started and not seen end."""
    found = set()
    for marker in (space.folder / ".snakemake" / "incomplete").rglob("*"):
        if marker.is_file():
            encoded = "".join(marker.relative_to(space.folder / ".snakemake/incomplete").parts)
            output = base64.urlsafe_b64decode(encoded.replace("@", "")).decode()
            found.add(output.split("/")[1])
    return found


@pytest.mark.long
def test_killed_at_random_moments_the_workflow_ends_with_the_same_bytes(tiny, workspace):
    """SIGKILL to the process group, again and again; each time the same command goes on.

    Every fourth time Snakemake alone is killed, as when memory runs out: its jobs go on, and
    the next run meets them.
    """
    config = workspace.write_config(TINY)
    random, stages, n_left, n_hit = np.random.default_rng(0), set(), 60, 0
    for kill in range(N_KILLS):
        to_come = N_KILLS - kill
        # So many jobs a run that some are left after the last kill.
        enough = int(random.integers(0, max(1, round(2 * n_left / (to_come + 4)) - 1)))
        starting_up, delay = random.random() < 0.1, random.uniform(0, 1.5)
        run, deadline = Run(workspace, config), math.inf
        while time.monotonic() < deadline and not run.ended():
            due = run.n_running() > 0 and run.n_done() >= enough
            if deadline == math.inf and (due or starting_up):
                deadline = time.monotonic() + delay
            if run.n_left() <= to_come + 3 and run.n_running() > 0:
                break
            time.sleep(0.02)
        assert not run.ended(), run.log.read_text()
        n_left = min(run.n_left(), n_left)
        n_hit += run.n_running() > 0
        run.kill(jobs_too=kill % 4 != 3)
        stages |= interrupted(workspace)
    assert n_hit >= 0.7 * N_KILLS and len(stages) >= 8, (n_hit, stages)
    workspace.run(config)
    assert tables(workspace) == tables(tiny)
    assert artifacts(workspace) == artifacts(tiny)
    results = workspace.folder / "results"
    assert [path for path in results.rglob("*") if ".part" in path.name] == []
    assert [path for path in (results / "scratch").rglob("*") if path.is_file()] == []
    assert workspace.planned(config) == {}


def test_every_file_that_is_read_later_is_sealed(tiny):
    """Whatever its format: only provenance beside a file, and the simulator's truth, are not."""
    files = set(made(tiny))
    seals = {path for path in files if path.name.startswith(".") and path.suffix == ".sha256"}
    vouched = {
        file for seal in seals for file in sealed_files(seal.with_name(seal.stem.removeprefix(".")))
    }
    beside = {path for path in files if path.suffix == ".json" and path.with_suffix("").is_file()}
    assert files - seals - beside == vouched
    suffixes = {path.suffix for path in vouched}
    assert suffixes >= {".h5", ".safetensors", ".npy", ".parquet", ".csv", ".json", ".png", ".nii"}


def test_damaged_and_deleted_files_are_named_and_rebuilt(tiny, finished):
    """An artifact, a simulated file behind a record, and one that is gone."""
    config, results = finished.folder / "config.yaml", finished.folder / "results"
    damaged = finished.folder / ENCODING
    spoil(damaged)
    subject = Address(dataset="nod", subject="sub01")
    record = finished.folder / PROJECT.path("simulate_dataset", "record", subject)
    betas = next(results.glob("simulate_dataset/*/ds-nod/nod/derivatives/**/*beta*.nii"))
    spoil(betas)
    prepared = PROJECT.path("prepare_responses", "responses", subject.but(hemisphere="lh"))
    curves = PROJECT.path("tabulate_size_curve", "table")
    curve = PROJECT.path("fit_size_curve", "curve", PROJECT.jobs["fit_size_curve"][0])
    for path in (ENCODING_TABLE, prepared, curves, curve):
        (finished.folder / path).unlink()
    targets = (ENCODING_TABLE, prepared, curves)

    failed = finished.snakemake("--cores", "2", *targets, config=config, check=False)
    assert failed.returncode == 1
    said = failed.stdout + failed.stderr
    assert re.search(rf"ERROR {ENCODING}: found SHA-256 \w{{64}}; expected SHA-256 \w{{64}}", said)
    assert f"(rm {ENCODING})" in said
    beta, record = (str(path.relative_to(finished.folder)) for path in (betas, record))
    assert f"ERROR {beta}: found SHA-256" in said and f"(rm {record})" in said
    assert "Traceback" not in said

    for path in (ENCODING, record):
        (finished.folder / path).unlink()
    finished.snakemake("--cores", "2", *targets, config=config)
    found, expected = artifacts(finished), artifacts(tiny)
    assert {path for path in expected if found.get(path) != expected[path]} == set()


def test_a_full_and_a_write_protected_disk(tiny, finished):
    """One message each, nothing half-written, and the same tables when there is room."""
    config, results = finished.folder / "config.yaml", finished.folder / "results"
    for path in (ENCODING, ENCODING_TABLE):
        shutil.rmtree((finished.folder / path).parent)
    before = set(artifacts(finished))
    shutil.move(results, finished.folder / "moved")
    with mounted(results, "200m") as disk:
        shutil.copytree(finished.folder / "moved", results, dirs_exist_ok=True)

        disk.remount("ro")
        arguments = ("--cores", "2", ENCODING_TABLE)
        failed = finished.snakemake(*arguments, config=config, check=False)
        said = failed.stdout + failed.stderr
        assert failed.returncode == 1
        assert said.count("cannot be written to (Read-only file system), expected a writable") == 1
        assert "Traceback" not in said and "Error in rule" not in said

        disk.remount("rw")
        filler = disk.fill()
        failed = finished.snakemake(*arguments, config=config, check=False)
        said = failed.stdout + failed.stderr
        assert failed.returncode == 1
        assert re.search(rf"{ENCODING}: found .* space left on the disk", said)
        assert "Traceback" not in said
        assert set(artifacts(finished)) == before

        filler.unlink()
        finished.snakemake(*arguments, config=config)
        assert artifacts(finished) == artifacts(tiny)
        shutil.rmtree(finished.folder / "moved")
