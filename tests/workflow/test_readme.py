"""The README's sections, executed: every file it shows is written, every command run, in order.

Three things differ from what a newcomer does. The photographs and the weights, which are the
newcomer's own, are made here. Runs end after the stages in ``UNTIL``, since what follows is run by
other tests. And the report is made of the tiny run, instead of one that takes longer.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from cortune.config import Config
from cortune.stages import STAGES

pytestmark = pytest.mark.workflow
REPOSITORY = Path(__file__).resolve().parents[2]
CHECKOUT = ["Snakefile", "workflow", "config", "profiles", "envs"]
UNTIL = {"photographs.yaml": "split_images prepare_responses", "my.yaml": "tabulate_encoding"}
WHOLE = "travel.yaml"
"""Runs with this file laid over are made whole: what follows is of the last complete run."""


@dataclass(frozen=True)
class Section:
    """The fenced blocks under a heading: files by name, and commands."""

    files: dict[str, str]
    commands: list[str]


def section(heading: str) -> Section:
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    (body,) = re.findall(rf"^## {heading}\n(.*?)(?=^## )", text, flags=re.MULTILINE | re.DOTALL)
    files, commands = {}, []
    for kind, block in re.findall(r"^```(\w*)\n(.*?)^```$", body, flags=re.MULTILINE | re.DOTALL):
        if kind == "yaml":
            name = re.match(r"# ([\w.]+)", block)
            assert name, f"a block of {heading} does not say its file"
            files[name[1]] = block
        else:
            commands += block.splitlines()
    assert commands, f"no commands under {heading}"
    return Section(files, commands)


@dataclass(frozen=True)
class Folder:
    """A copy of the checkout that commands are run in, by a shell."""

    path: Path

    def write(self, files: dict[str, str]) -> None:
        for name, text in files.items():
            (self.path / name).write_text(text, encoding="utf-8")

    def run(self, command: str) -> str:
        """Run a line of the README; of a run of Snakemake, as much as ``UNTIL`` says."""
        for name, stage in UNTIL.items():
            shortened = command.startswith("snakemake --cores") and WHOLE not in command
            if shortened and f"--configfile {name}" in command:
                command = command.replace("--cores", f"--until {stage} --cores", 1)
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=self.path,
            env=os.environ | {"PATH": path},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        return done.stdout + done.stderr

    def follow(self, heading: str) -> dict[str, str]:
        """Do what a section says; return what each command printed."""
        found = section(heading)
        self.write(found.files)
        return {command: self.run(command) for command in found.commands}

    def made(self, stage: str, name: str) -> list[Path]:
        return sorted((self.path / "results" / stage).rglob(name))


@pytest.fixture(scope="module")
def newcomer(tmp_path_factory) -> Folder:
    path = tmp_path_factory.mktemp("newcomer")
    for name in CHECKOUT:
        source = REPOSITORY / name
        copy = shutil.copytree if source.is_dir() else shutil.copyfile
        copy(source, path / name)
    return Folder(path)


@pytest.fixture(scope="module")
def own_folder(newcomer) -> dict[str, str]:
    """What the section on an own Algonauts folder prints; later sections build on it."""
    return newcomer.follow("Your own Algonauts folder")


def printed(outputs: dict[str, str], start: str) -> str:
    (text,) = [text for command, text in outputs.items() if command.startswith(start)]
    return text


def test_demo():
    """`make demo` itself is run by test_demo.py; here, that it is what runs."""
    assert any(command.startswith("make demo ") for command in section("Demo").commands)
    shown = Folder(REPOSITORY).run("make --dry-run demo")
    for command in ("snakemake --cores all", "cortune summary"):
        assert command in shown


def test_own_photographs(newcomer):
    from PIL import Image

    folder = newcomer.path / "data" / "photographs"
    folder.mkdir(parents=True)
    generator = np.random.default_rng(0)
    for number in range(40):
        coarse = generator.integers(0, 256, (6, 8, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((160, 120)).save(folder / f"holiday{number:02}.jpg")
    outputs = newcomer.follow("Your own photographs")
    assert "No problem found." in printed(outputs, "cortune check")
    (index,) = newcomer.made("prepare_images", "index.csv")
    assert len(pd.read_csv(index)) == 40
    assert len(newcomer.made("prepare_responses", "responses.h5")) == 2


def test_own_algonauts_folder(newcomer, own_folder):
    """The stand-in does not lie where one's own data do."""
    assert {path.name for path in (newcomer.path / "data").iterdir()} >= {"stand_in", "truth"}
    assert not (newcomer.path / "data" / "algonauts2023").exists()
    assert "No problem found." in printed(own_folder, "cortune check")
    assert "tune_network" in printed(own_folder, "cortune plan")
    (path,) = newcomer.made("tabulate_encoding", "encoding.csv")
    table = pd.read_csv(path)
    assert set(table["method"]) == {"untuned", "contrastive"} and set(table["roi"]) == {"V1v"}
    assert table["r_mean"].between(-1, 1).all()


def test_another_network_with_local_weights(newcomer, own_folder):
    import torch
    from torchvision.models import resnet18

    found = section("Another network with local weights")
    weights = yaml.safe_load(found.files["network.yaml"])["backbone"]["weights"]
    torch.manual_seed(0)
    torch.save(resnet18(num_classes=7).state_dict(), newcomer.path / weights)
    before = set(newcomer.made("tabulate_encoding", "encoding_layers.csv"))
    outputs = newcomer.follow("Another network with local weights")
    assert "No problem found." in printed(outputs, "cortune check")
    (path,) = set(newcomer.made("tabulate_encoding", "encoding_layers.csv")) - before
    assert set(pd.read_csv(path)["layer"]) == {f"layer{number}" for number in (1, 2, 3, 4)}


def test_one_changed_setting(newcomer, own_folder):
    networks = newcomer.made("tune_network", "network.safetensors")
    encodings = newcomer.made("encode_roi", "encoding.h5")
    outputs = newcomer.follow("One changed setting")
    planned = next(text for command, text in outputs.items() if "--dry-run" in command)
    rules = set(re.findall(r"^([a-z_]+) +\d+$", planned, flags=re.MULTILINE)) & set(STAGES)
    assert "encode_roi" in rules
    assert all(
        re.match("decompose|encode_roi|tabulate|plot|bound|publish", rule) for rule in rules
    ), rules
    assert newcomer.made("tune_network", "network.safetensors") == networks
    assert len(newcomer.made("encode_roi", "encoding.h5")) == len(encodings) + 4
    assert "encoding.folds: 3, now 4" in printed(outputs, "cortune versions")


def test_taking_a_network_away(newcomer, own_folder):
    outputs = newcomer.follow("Taking a network away")
    assert "data/encoder" in printed(outputs, "cortune export")
    pictures = newcomer.path / "data/stand_in/subj01/test_split/test_images"
    table = pd.read_parquet(newcomer.path / "data" / "responses.parquet")
    assert len(table) == 30 * len(list(pictures.iterdir()))
    assert set(table["hemisphere"]) == {"lh"} and np.isfinite(table["response"]).all()


def test_the_report(tiny, tmp_path):
    run = Folder(tmp_path)
    shutil.copytree(tiny.folder / "results" / "latest", run.path / "results" / "latest")
    report = run.path / "results" / "latest" / "report.html"
    written = report.read_text()
    report.unlink()
    outputs = run.follow("The report")
    assert report.read_text() == written
    assert "Encoding accuracy" in printed(outputs, "cortune summary")


def test_the_tutorial_asks_the_tables_what_they_answer(tiny, monkeypatch, capsys):
    text = (REPOSITORY / "docs" / "tutorial.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```python\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
    monkeypatch.chdir(tiny.folder)
    exec(block, {})
    shown = capsys.readouterr().out
    assert "V1v" in shown and "contrastive" in shown and "early" in shown


def test_every_configuration_shown_is_valid(newcomer, tmp_path):
    """Those that are executed above, and the others."""
    pages = (REPOSITORY / "README.md", REPOSITORY / "docs" / "own-data.md")
    text = "".join(page.read_text(encoding="utf-8") for page in pages)
    shown = dict(re.findall(r"^```yaml\n(?=# ([\w.]+))(.*?)^```$", text, flags=re.M | re.S))
    assert {"my.yaml", "photographs.yaml", "network.yaml", "transfer.yaml"} <= set(shown)
    folder = Folder(tmp_path)
    folder.write(shown)
    for name in shown:
        alone = name in ("my.yaml", "photographs.yaml")
        files = [name] if alone else ["my.yaml", name]
        Config.from_file(*(tmp_path / file for file in files))
        Config.from_file(tmp_path / files[0], REPOSITORY / "config" / "quick.yaml")
