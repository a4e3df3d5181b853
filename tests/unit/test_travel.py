"""A finished run seen from outside: Python, the notebook, `cortune export` and `predict`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from hub import TOKEN, hub
from in_process import run_all
from safetensors.torch import load_file

import cortune
from cortune.cli import main
from cortune.config import Config
from cortune.errors import InputError
from cortune.networks.alexnet_small import AlexNetSmall
from cortune.project import Project

CONFIG = {
    "datasets": {
        "nsd": {
            "layout": "algonauts2023",
            "subjects": ["subj01"],
            "rois": ["V1v"],
            "simulate": {
                "n_images": 80,
                "n_shared": 30,
                "n_test_images": 4,
                "image_size": 32,
                "n_classes": 5,
                "vertices": {"V1v": {"lh": 30, "rh": 0}, "FBA-1": 3},
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
    "contrastive": {"epochs": 2, "batch_size": 16},
    "encoding": {"folds": 3, "protocols": ["heldout_cv"]},
    "statistics": {"n_permutations": 100},
    "export": {"methods": ["untuned", "contrastive"]},
}


def finished(folder, config):
    """Run a configuration to its end in a folder."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        (folder / "config.yaml").write_text(yaml.safe_dump(config))
        run_all(Project(Config.from_mapping(config)))
    finally:
        os.chdir(before)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A small run, finished."""
    return finished(tmp_path_factory.mktemp("run"), CONFIG)


def test_the_run_is_open_to_python(folder):
    run = cortune.open_run(folder / "results")
    assert set(run.table("encoders").method) == {"untuned", "contrastive"}
    assert len(run.networks) == 2 and len(run.encoders) == 2
    tuned = run.network(method="contrastive", subject="subj01", hemisphere="lh", roi="V1v")
    assert tuned.tuned_on and not run.network(method="untuned").tuned_on
    with pytest.raises(InputError, match="no table 'encodings'"):
        run.table("encodings")
    with pytest.raises(InputError, match="0 of contrastive subj09"):
        run.encoder(method="contrastive", subject="subj09")
    with pytest.raises(InputError, match="no complete run"):
        cortune.open_run(folder)


@pytest.mark.parametrize("within", [".", "results"])
def test_a_run_is_also_opened_by_its_latest_folder(folder, monkeypatch, within):
    monkeypatch.chdir(folder / within)
    latest = "results/latest" if within == "." else "latest"
    for name in (latest, folder / "results" / "latest"):
        assert len(cortune.open_run(name).networks) == 2
    monkeypatch.chdir(latest)
    assert len(cortune.open_run(".").networks) == 2


def test_the_score_told_is_that_of_the_same_protocol_in_the_run(folder):
    """Without images kept for fitting, those that no network saw are the test images."""
    run = cortune.open_run(folder / "results")
    told = run.table("encoders").set_index("method")
    scored = run.table("encoding").set_index("method")
    np.testing.assert_allclose(told.r_mean, scored.r_mean[told.index], atol=1e-5)
    assert (told.n_images_fit > scored.n_images_fit[told.index]).all()


def test_the_notebook_runs(folder, repository):
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(repository / "docs/notebooks/encoders.ipynb", as_version=4)
    resources = {"metadata": {"path": str(folder)}}
    NotebookClient(notebook, timeout=300, resources=resources).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    assert len(outputs) >= 6 and not any(each.output_type == "error" for each in outputs)


def test_export_and_predict_on_the_command_line(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    given = ["export", "--configfile", "config.yaml", "--out"]
    assert main([*given, "one", "--method", "contrastive"]) == 0
    model = AlexNetSmall()
    model.load_state_dict(load_file("one/model.safetensors"))
    assert main([*given, "all"]) == 0
    names = {path.name for path in Path("all").iterdir()}
    assert names == {"untuned-subj01", "contrastive-subj01-lh-V1v"}
    pictures = sorted(map(str, Path("results").rglob("test-*.png")))[:4]
    assert main(["predict", "one", *pictures, "--out", "out.parquet", "--device", "cpu"]) == 0
    table = pd.read_parquet("out.parquet")
    assert len(table) == 4 * 30 and np.isfinite(table.response).all()
    assert main([*given, "none", "--subject", "subj09"]) == 1
    assert "no encoder of subj09" in capsys.readouterr().err and not Path("none").exists()
    assert main([*given, "none", "--method", "joint"]) == 1
    said = capsys.readouterr().err
    assert (
        "found no encoder of joint; expected one of untuned subj01; contrastive subj01 lh" in said
    )


def test_export_takes_the_configuration_of_the_last_run(folder, monkeypatch):
    """As docs/travel.md has it, without --configfile."""
    monkeypatch.chdir(folder)
    wanted = ["--method", "contrastive", "--subject", "subj01", "--hemisphere", "lh"]
    assert main(["export", *wanted, "--roi", "V1v", "--out", "of_latest"]) == 0
    assert Path("of_latest", "model.safetensors").is_file()


def test_export_before_any_run_needs_a_configuration(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["export", "--out", "out"]) == 1
    assert "config/config.yaml" in capsys.readouterr().err


def test_adapted_networks_leave_a_run_whole(tmp_path, monkeypatch):
    tuning = {**CONFIG["tuning"], "adapt": {"lora": {"rank": 2, "alpha": 4}}}
    recipe = {"epochs": 5, "batch_size": 16, "learning_rate": 0.05}
    config = {**CONFIG, "tuning": tuning, "contrastive": recipe}
    run = cortune.open_run(finished(tmp_path, config) / "results")
    saved = run.network(method="contrastive").backbone
    assert any(".lora_" in name for name, _ in saved.named_modules())
    monkeypatch.chdir(tmp_path)
    given = ["export", "--configfile", "config.yaml", "--out", "one", "--method", "contrastive"]
    assert main(given) == 0
    model = AlexNetSmall().eval()
    model.load_state_dict(load_file("one/model.safetensors"))
    x = torch.rand(3, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(model(x), saved(x), atol=1e-4, rtol=1e-4)
        assert (run.network(method="untuned").backbone(x) - saved(x)).abs().max() > 1e-3
    pictures = sorted(Path("results").rglob("test-*.png"))
    found = cortune.predict("one", pictures, device="cpu")
    wanted = run.encoder(method="contrastive").predict(pictures, device="cpu")
    np.testing.assert_allclose(found, wanted, atol=1e-4)


def test_an_encoder_goes_to_the_hub_and_comes_back(folder, tmp_path):
    """By the command line and the hub's own library; the hub is one of this machine."""

    def command(*arguments, url=None, token=TOKEN):
        environment = {**os.environ, **there.environment(tmp_path / "cache", token)}
        environment |= {"HF_ENDPOINT": url} if url else {}
        done = subprocess.run(
            [sys.executable, "-m", "cortune.cli", *arguments],
            cwd=folder, env=environment, capture_output=True, text=True,
        )  # fmt: skip
        return done.returncode, done.stdout, done.stderr

    given = ["export", "--configfile", "config.yaml", "--out", str(tmp_path / "out")]
    pictures = sorted(map(str, (folder / "results").rglob("test-*.png")))
    with hub() as there:
        status, said, error = command(*given, "--method", "contrastive", "--push", "me/encoder")
        assert status == 0, error
        assert f"{there.url}/me/encoder/commit/" in said
        names = {path.name for path in (tmp_path / "out").iterdir()}
        assert there.repositories["me/encoder"].keys() == names and len(names) == 4
        out = tmp_path / "out.npy"
        status, said, error = command(
            "predict", "me/encoder", *pictures, "--out", str(out), "--device", "cpu"
        )
        assert status == 0, error
        wanted = cortune.predict(tmp_path / "out", pictures, device="cpu")
        np.testing.assert_allclose(np.load(out), wanted, atol=1e-6)
        status, said, error = command(*given, "--push", "me/encoder")
        assert status == 1 and "expected one encoder in a folder of the hub" in error
        one = [*given, "--method", "contrastive", "--push", "me/encoder"]
        for wrong in ({"token": "hf_other"}, {"url": "http://127.0.0.1:9"}):
            status, said, error = command(*one, **wrong)
            assert status == 1 and "--push me/encoder: found a hub that does not take it" in error
            assert "Traceback" not in error
        status, said, error = command("predict", "me/other", *pictures, "--out", str(out))
        assert status == 1 and "me/other: found no such folder, and no repository" in error
