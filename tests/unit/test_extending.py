"""Each walk of docs/extending.md, carried out on a copy of the checkout: it does what it says."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
PAGE = (REPOSITORY / "docs" / "extending.md").read_text(encoding="utf-8")
SETUP = """
import copy
from pathlib import Path
import numpy as np
import cortune
from cortune.address import Address
from cortune.config import Config, ConfigError, document, keys
from cortune.project import Project
assert Path(cortune.__file__).is_relative_to(Path.cwd()), cortune.__file__
BASE = {
    "datasets": {
        "nsd": {
            "layout": "algonauts2023",
            "subjects": ["subj01"],
            "rois": ["V1v"],
            "simulate": {"n_images": 100, "n_shared": 10, "vertices": {"V1v": 30}},
        }
    },
    "backbone": {"name": "alexnet_small", "weights": "random", "input_size": 64},
}
def config(**sections):
    return Config.from_mapping(copy.deepcopy(BASE) | sections)
"""
ALL_TOGETHER = """
datasets:
  mine: {layout: plain, subjects: [sub01], rois: [V1v], simulate: {n_images: 60, image_size: 64}}
backbone: {name: patches16, weights: random, input_size: 64, layers: ["1", "2"]}
tuning: {methods: [untuned, correlation, contrastive]}
cortex: {method: correlation}
"""


def walk(title: str) -> list[tuple[str, str]]:
    """Return the blocks of code under a heading that name a file: the file, and the text."""
    section = PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]
    found = []
    for text in re.findall(r"^```(?:python|diff)\n(.*?)^```$", section, re.DOTALL | re.MULTILINE):
        head, _, rest = text.partition("\n")
        kind, _, name = head.partition(" ")
        found.append((name, rest if kind == "#" else f"---\n{rest}"))
    return found


def changed(text: str, diff: str) -> str:
    """Return a text with lines added and taken out, as a diff without numbers says."""
    for hunk in diff.removeprefix("---\n").split("@@\n"):
        lines = hunk.splitlines(keepends=True)
        old = "".join(line[1:] or "\n" for line in lines if not line.startswith("+"))
        new = "".join(line[1:] or "\n" for line in lines if not line.startswith("-"))
        assert text.count(old) == 1, f"not there once:\n{old}"
        text = text.replace(old, new)
    return text


class Copy:
    """A copy of what a checkout runs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("src", "workflow", "config", "profiles", "envs"):
            ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
            shutil.copytree(REPOSITORY / name, folder / name, ignore=ignored)
        shutil.copy(REPOSITORY / "Snakefile", folder)

    def carry_out(self, title: str) -> int:
        """Make the changes of a walk; return the number of files."""
        files = walk(title)
        for name, text in files:
            path = self.folder / name
            assert path.exists() == text.startswith("---\n"), name
            text = changed(path.read_text("utf-8"), text) if path.exists() else f"# {name}\n{text}"
            path.write_text(text, "utf-8")
        assert len({name for name, _ in files}) == promised(title)
        return len(files)

    def run(self, *arguments: str) -> str:
        """Run Python on the copy; return what it printed."""
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(self.folder / "src"), "OMP_NUM_THREADS": "1"},
            text=True,
            capture_output=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def see(self, code: str) -> str:
        """Run some code on the copy."""
        return self.run("-c", SETUP + textwrap.dedent(code))


def promised(title: str) -> int:
    """Return the number of files that the page's table gives for a walk."""
    anchor = title.lower().replace(" ", "-")
    (number,) = re.findall(rf"\(#{anchor}\)[^|]*\| (\d) \|", PAGE)
    return int(number)


@pytest.fixture
def checkout(tmp_path):
    return Copy(tmp_path)


def test_every_walk_of_the_table_is_here():
    titles = re.findall(r"^## (.+)$", PAGE, re.MULTILINE)
    assert [promised(title) for title in titles] == [len({n for n, _ in walk(t)}) for t in titles]


def test_a_key_of_the_configuration(checkout):
    checkout.carry_out("A key of the configuration")
    checkout.see(
        """
        from cortune.reruns import reruns
        from cortune.settings import settings_of
        from cortune.stages import STAGES

        stage = STAGES["plot_cortex"]
        first = Project(config())
        other = Project(config(cortex={"method": "untuned"}))
        assert settings_of(other.config, stage, Address()).cortex.method == "untuned"
        assert {
            name
            for name, addresses in first.jobs.items()
            for each in addresses
            if first.version(name, each) != other.version(name, each)
        } == {"plot_cortex", "publish_results"}
        assert reruns("cortex.method") == ["plot_cortex"]
        try:
            config(cortex={"method": "pooled"})
        except ConfigError as error:
            assert "pooled_mean" in str(error)
        else:
            raise AssertionError
        """
    )
    checkout.run("-m", "cortune.config")
    assert "`cortex.method` | `null` | Method whose" in (
        checkout.folder / "config" / "README.md"
    ).read_text("utf-8")


def test_a_key_that_its_stage_does_not_declare_is_refused(checkout):
    checkout.carry_out("A key of the configuration")
    path = checkout.folder / "src" / "cortune" / "stages" / "encoding.py"
    path.write_text(path.read_text("utf-8").replace('"cortex.method", ', ""), "utf-8")
    checkout.see(
        """
        from cortune.settings import UndeclaredKey, settings_of
        from cortune.stages import STAGES

        try:
            settings_of(config(), STAGES["plot_cortex"], Address()).cortex.method
        except UndeclaredKey as error:
            assert "cortex.method" in str(error)
        else:
            raise AssertionError
        """
    )


def test_a_tuning_method(checkout):
    checkout.carry_out("A tuning method")
    checkout.see(
        """
        import torch
        from cortune.networks.backbones import build_backbone
        from cortune.report.panels import colour_of
        from cortune.tuning.methods import METHODS

        methods = {"methods": ["untuned", "correlation"]}
        found = config(tuning=methods, correlation={"epochs": 2})
        assert found.correlation.epochs == 2
        assert {"correlation.epochs", "correlation.batch_size"} <= {*keys()}
        assert "`correlation`: Every voxel predicted linearly, by its" in document()
        assert colour_of("correlation") == "#8c6d31"

        project = Project(found)
        (left, right) = project.jobs["tune_network"]
        assert (left.method, left.hemisphere) == ("correlation", "rh")
        more = Project(config(tuning=methods, correlation={"epochs": 3}))
        assert more.version("tune_network", left) != project.version("tune_network", left)

        backbone = build_backbone("alexnet_small", num_classes=5)
        task = METHODS["correlation"].build(backbone, 5, 7, found.correlation)
        images, responses = torch.rand(16, 3, 64, 64), torch.rand(16, 7)
        losses = []
        for _ in range(8):
            task.optimizer.zero_grad()
            losses.append(task.objective(images, responses))
            losses[-1].backward()
            task.optimizer.step()
        assert losses[-1] < losses[0]
        """
    )


def test_a_family_of_backbones(checkout):
    checkout.carry_out("A family of backbones")
    checkout.see(
        """
        import torch
        from cortune.check import find_problems
        from cortune.networks.backbones import load_backbone, preprocessing
        from cortune.networks.layers import check_layers

        model = load_backbone("patches/patches16", "random")
        check_layers(model, ["1", "2"])
        assert model(torch.rand(2, 3, 64, 64)).shape == (2, 1000)
        assert preprocessing("patches16", "random").input_size == 64
        import yaml
        backbone = {"name": "patches8", "weights": "random", "input_size": 64, "layers": ["1"]}
        Path("my.yaml").write_text(yaml.safe_dump({**BASE, "backbone": backbone}))
        assert find_problems("my.yaml") == []
        """
    )


def test_a_source_of_probe_images(checkout):
    checkout.carry_out("A source of probe images")
    checkout.see(
        """
        from PIL import Image
        from cortune.probes import ProbeSpec, list_images, probe_problems

        names = ["b.png", "a.png", "c.png", "d.png"]
        for name in names:
            Image.new("RGB", (32, 32)).save(name)
        rows = [f"{name},{name in ('a.png', 'b.png')}" for name in names]
        Path("labels.csv").write_text("\\n".join(["file,label", *rows]))
        found = config(probes={"mine": {"kind": "labelled_list", "root": "."}})
        spec = ProbeSpec(**found.probes["mine"].source())
        assert probe_problems(spec) == []
        listed = list_images(spec)
        assert listed.names() == sorted(names) and listed.classes == ("False", "True")
        assert "`labelled_list`" in document()
        project = Project(found)
        assert project.version("prepare_probe", Address(probe="mine"))
        Path("labels.csv").unlink()
        assert "Write labels.csv" in probe_problems(spec)[0]
        """
    )


def test_a_layout(checkout):
    checkout.carry_out("A layout")
    checkout.see(
        """
        from PIL import Image
        from cortune.data.prepare import prepare_responses, read_responses
        from cortune.versions import Provenance

        home = Path("data", "sub01")
        (home / "pictures").mkdir(parents=True)
        for name in "abc":
            Image.new("RGB", (32, 32)).save(home / "pictures" / f"{name}.png")
        for side in ("lh", "rh"):
            np.save(home / f"{side}.npy", np.random.default_rng(0).normal(size=(3, 50)))
            np.save(home / f"{side}.V1v.npy", (np.arange(50) < 25).astype(int))
        project = Project(config(datasets={"mine": {"layout": "plain", "root": "data"}}))
        reader = project.reader("mine")
        assert reader.problems("all", "all") == []
        assert [(u.subject, u.roi, u.n_voxels) for u in project.units] == [("sub01", "V1v", 25)] * 2
        prepare_responses(reader, "sub01", "lh", "responses.h5", Provenance("a", "b", 0))
        assert read_responses("responses.h5", "V1v").values.shape == (3, 25)
        assert "`plain`" in document()

        place = Address("mine", "sub01", "lh")
        before = project.version("prepare_responses", place)
        (home / "pictures" / "a.png").rename(home / "pictures" / "d.png")
        again = Project(project.config)
        assert again.version("prepare_responses", place) != before
        (home / "pictures" / "d.png").unlink()
        assert "one a picture" in "".join(reader.problems("all", "all"))
        """
    )


def test_a_simulator(checkout):
    checkout.carry_out("A layout")
    checkout.carry_out("A simulator")
    checkout.see(
        """
        from cortune.cli import main

        settings = {"layout": "plain", "subjects": ["sub01"], "rois": ["V1v"]}
        simulate = {"n_images": 30, "image_size": 32, "n_classes": 5}
        project = Project(config(datasets={"mine": {**settings, "simulate": simulate}}))
        assert [u.n_voxels for u in project.units] == [40, 40]
        assert main(["simulate", "--layout", "plain", "--out", "data", "--n-images", "30",
                     "--image-size", "32", "--n-classes", "5"]) == 0
        real = Project(config(datasets={"mine": {**settings, "root": "data"}}))
        assert real.reader("mine").problems("all", "all") == []
        assert real.roi_sizes("mine", "sub01", "lh") == {"PPA": 40, "V1v": 40}
        assert len(real.reader("mine").images("sub01")) == 30
        assert Path("truth", "sub01", "rh.h5").is_file()
        """
    )


def test_a_figure_of_a_stage_that_there_is(checkout):
    checkout.carry_out("A figure of a stage that there is")
    checkout.see(
        """
        from types import SimpleNamespace
        import pandas as pd
        from cortune.stages import STAGES
        from cortune.stages.publish import headings
        from cortune.versions import Provenance

        shown = Project(config()).shown
        (path,) = [path for path in shown if path.endswith("information_temperature.png")]
        caption = dict(headings(shown)["Tuning"])[path]
        assert caption.startswith("Temperature fitted")

        rows = {"dataset": "nsd", "subject": "subj01", "hemisphere": "lh", "roi": ["V1v", "PPA"],
                "method": "contrastive", "mi_lower_bound_nats": 1.0, "temperature": [0.2, 0.3],
                "log_k": 3.0, "n_images": 20, "n_replicates": 1, "mi_sd_replicates": float("nan")}
        pd.DataFrame(rows).to_csv("information.csv", index=False)
        output = SimpleNamespace(figure="a.png", temperature="b.png")
        job = SimpleNamespace(input=SimpleNamespace(table="information.csv"), output=output,
                              provenance=lambda: Provenance("a", "b", 0))
        STAGES["plot_information"].run(job)
        assert Path("b.png").is_file()
        """
    )


def test_a_stage(checkout):
    checkout.carry_out("A stage")
    checkout.see(
        """
        from types import SimpleNamespace
        import pandas as pd
        from cortune.plan import estimate, shape_of
        from cortune.reference.document import pages
        from cortune.reruns import reruns
        from cortune.stages import STAGES
        from cortune.versions import Provenance

        project = Project(config())
        assert any(path.endswith("ceilings.png") for path in project.shown)
        assert project.jobs["plot_ceilings"] == [Address()]
        assert "plot_ceilings" in reruns("encoding.folds")
        assert "`ceilings.png`" in pages()["artifacts.md"]
        planned = estimate(project, shape_of(project.config))
        assert "plot_ceilings" in [each.stage for each in planned]

        rows = {"protocol": "heldout_cv", "method": ["untuned"]}
        rows |= {"ceiling_r_mean": 0.8, "r_mean": 0.2}
        pd.DataFrame(rows).to_csv("encoding.csv", index=False)
        job = SimpleNamespace(input=SimpleNamespace(encoding="encoding.csv"), config=project.config,
                              output=SimpleNamespace(figure="a.png"),
                              provenance=lambda: Provenance("a", "b", 0))
        STAGES["plot_ceilings"].run(job)
        assert Path("a.png").is_file()
        """
    )


def test_all_of_it_together_is_planned_and_run_by_snakemake(checkout):
    for title in re.findall(r"^## (.+)$", PAGE, re.MULTILINE):
        checkout.carry_out(title)
    (checkout.folder / "my.yaml").write_text(ALL_TOGETHER, "utf-8")
    planned = checkout.run("-m", "snakemake", "--dry-run", "--configfile", "my.yaml")
    counts = dict(re.findall(r"^([a-z_]+) +(\d+)$", planned, re.MULTILINE))
    assert counts["simulate_plain"] == "1"
    assert counts["plot_ceilings"] == "1"
    assert counts["tune_network"] == "4"
    assert "method-correlation" in planned
    assert "information_temperature.png" in planned

    checkout.run("-m", "snakemake", "--until", "prepare_responses", "--configfile", "my.yaml")
    results = checkout.folder / "results"
    assert len([*results.glob("prepare_responses/*/ds-mine/sub-sub01/hemi-*/responses.h5")]) == 2
