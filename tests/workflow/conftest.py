"""Running Snakemake as a user would, in a folder of its own."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from filelock import FileLock
from tiny import TINY

REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass
class Workspace:
    """A folder with results, in which the checkout's workflow runs."""

    folder: Path

    def write_config(self, config: dict, name: str = "config.yaml") -> Path:
        path = self.folder / name
        path.write_text(yaml.safe_dump(config))
        return path

    def command(self, *arguments: str, config: Path) -> list[str]:
        command = [sys.executable, "-m", "snakemake", "--snakefile", str(REPOSITORY / "Snakefile")]
        return [*command, "--directory", str(self.folder), "--configfile", str(config), *arguments]

    def snakemake(self, *arguments: str, config: Path, check: bool = True):
        command = self.command(*arguments, config=config)
        done = subprocess.run(command, capture_output=True, text=True, cwd=self.folder)
        if check:
            assert done.returncode == 0, done.stdout + done.stderr
        return done

    def run(self, config: Path, *arguments: str):
        return self.snakemake("--cores", "2", *arguments, config=config)

    def planned(self, config: Path) -> Counter[str]:
        """The jobs of a dry run: rule to number."""
        done = self.snakemake("--dry-run", "--cores", "2", config=config)
        text = done.stdout + done.stderr
        if "Nothing to be done" in text:
            return Counter()
        table = text[text.index("Job stats:") :]
        rows = re.findall(r"^([a-z_]+) +(\d+)$", table, flags=re.MULTILINE)
        return Counter({rule: int(n) for rule, n in rows if rule not in ("all", "total")})

    def cortune(self, *arguments: str):
        command = [sys.executable, "-m", "cortune.cli", *arguments]
        return subprocess.run(command, capture_output=True, text=True, cwd=self.folder)


@pytest.fixture
def workspace(tmp_path) -> Workspace:
    return Workspace(tmp_path)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """First the longest of all, and what is done while another process makes the tiny run."""
    of_tiny = {item.path for item in items if "tiny" in getattr(item, "fixturenames", ())}

    def rank(item: pytest.Item) -> int:
        if item.path.stem in ("test_shared_tuning", "test_golden"):
            return 0
        return 2 if item.path in of_tiny else 1

    items.sort(key=rank)


PARTS = ("results", ".snakemake")
"""What a run leaves in its folder."""


def complete(name: str, config: str, finished: str | None, factory) -> Workspace:
    """Run everything once for all of pytest's processes, or copy the run in `finished`.

    Where there is none yet, this one is left there, for the next pytest.
    """
    root = factory.getbasetemp()
    root = root.parent if "PYTEST_XDIST_WORKER" in os.environ else root
    space = Workspace(root / f"whole-{name}")
    with FileLock(root / f"{name}.lock"):
        if not (space.folder / "whole").exists():
            space.folder.mkdir(exist_ok=True)
            path = space.folder / "config.yaml"
            path.write_text(config)
            kept = Path(finished) if finished else None
            if kept and kept.exists():
                for part in PARTS:
                    shutil.copytree(kept / part, space.folder / part, dirs_exist_ok=True)
            space.run(path)
            if kept and not kept.exists():
                for part in PARTS:
                    shutil.copytree(space.folder / part, kept / part)
            (space.folder / "whole").touch()
    return space


@pytest.fixture(scope="session")
def demo(tmp_path_factory) -> Workspace:
    """The demo with contrastive_plus, run once from nothing; or a copy of that in CORTUNE_DEMO."""
    config = yaml.safe_load((REPOSITORY / "config" / "config.yaml").read_text())
    config["tuning"]["methods"].append("contrastive_plus")
    config["transfer"]["methods"] = ["contrastive_plus", "pooled_mean"]
    text = yaml.safe_dump(config)
    return complete("demo", text, os.environ.get("CORTUNE_DEMO"), tmp_path_factory)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory) -> Workspace:
    """Nearly every rule, run once on next to nothing, or a copy of the run in CORTUNE_TINY.

    Do not change what it made.
    """
    config = yaml.safe_dump(TINY)
    return complete("tiny", config, os.environ.get("CORTUNE_TINY"), tmp_path_factory)
