"""Submissions to the Algonauts challenge: who predicts which vertex, and what is refused."""

from __future__ import annotations

import os
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from in_process import run_job

from cortune.cli import main
from cortune.config import Config
from cortune.errors import InputError, ResourceError
from cortune.export.encoder import Encoder
from cortune.project import Project
from cortune.submission import check_files, write_submission
from disks import mounted

CONFIG = {
    "datasets": {
        "nsd": {
            "layout": "algonauts2023",
            "subjects": ["subj01", "subj02"],
            "rois": ["V1v", "whole"],
            "simulate": {
                "n_images": 80,
                "n_shared": 30,
                "n_test_images": 12,
                "image_size": 32,
                "n_classes": 5,
                "vertices": {"V1v": {"lh": 30, "rh": 0}, "FBA-1": {"lh": 25, "rh": 35}},
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
    "export": {"methods": ["untuned", "contrastive"], "fit": "all"},
}
STAGES = """
simulate_dataset prepare_images prepare_responses prepare_whole split_images prepare_backbone
tune_network extract_features decompose_features encode_roi export_encoder tabulate_encoding
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A small run, as far as encoders."""
    folder, before = tmp_path_factory.mktemp("run"), Path.cwd()
    os.chdir(folder)
    try:
        (folder / "config.yaml").write_text(yaml.safe_dump(CONFIG))
        project = Project(Config.from_mapping(CONFIG))
        for stage in STAGES.split():
            for address in project.jobs[stage]:
                run_job(project, stage, address)
    finally:
        os.chdir(before)
    return folder


@pytest.fixture
def project(folder, monkeypatch):
    monkeypatch.chdir(folder)
    return Project(Config.from_mapping(CONFIG))


def export(out, *more):
    given = ["export", "--as", "algonauts2023", "--configfile", "config.yaml", "--out", str(out)]
    return main([*given, *more])


def test_every_vertex_has_the_predictions_of_the_network_that_predicts_it_best(
    project, tmp_path, capsys, caplog
):
    assert export(tmp_path / "out") == 0
    written = capsys.readouterr().out
    assert written.split() == [
        str(tmp_path / "out" / n) for n in ("submission.zip", "networks.csv")
    ]
    assert "takes all of its 8 subjects; this has subj01, subj02" in caplog.text
    table = pd.read_parquet(project.path("tabulate_encoding", "voxels"))
    stated = pd.read_csv(tmp_path / "out" / "networks.csv").set_index(
        ["subject", "hemisphere", "roi", "method"]
    )
    root = Path(project.reader("nsd").root)
    with zipfile.ZipFile(tmp_path / "out" / "submission.zip") as packed:
        assert {Path(name).parts[0] for name in packed.namelist()} == {
            "algonauts_2023_challenge_submission"
        }
        packed.extractall(tmp_path)
    (top,) = tmp_path.glob("algonauts*")
    names = {path.relative_to(top).as_posix() for path in top.rglob("*.npy")}
    assert names == {f"{s}/{h}_pred_test.npy" for s in ("subj01", "subj02") for h in ("lh", "rh")}
    used = set()
    for name in names:
        subject, side = name[:6], name[7:9]
        found = np.load(top / name)
        pictures = sorted((root / subject / "test_split/test_images").glob("test-*.png"))
        measured = np.load(
            root / subject / f"training_split/training_fmri/{side}_training_fmri.npy"
        )
        assert found.shape == (12, measured.shape[1]) and found.dtype == np.float32
        rows = table[(table.subject == subject) & (table.hemisphere == side)]
        best = rows.loc[rows.groupby("vertex").r.idxmax()]
        assert sorted(best.vertex) == list(range(found.shape[1]))
        for (roi, method), own in best.groupby(["roi", "method"], observed=True):
            unit = {"subject": subject, "hemisphere": side, "roi": roi, "method": method}
            place = next(a for a in project.addresses([method]) if unit.items() <= vars(a).items())
            path = Path(project.path("export_encoder", "config", place))
            encoder = Encoder(path.parent)
            columns = encoder.columns
            places = columns[(columns.hemisphere == side) & (columns.roi == roi)]
            places = places[places.vertex.isin(own.vertex)]
            wanted = encoder.predict(pictures, device="cpu")[:, places.index]
            np.testing.assert_allclose(found[:, places.vertex], wanted, atol=1e-6)
            row = stated.loc[(subject, side, roi, method)]
            assert row.n_vertices == len(own) and row.protocol == "heldout_cv"
            assert row.r_mean == pytest.approx(own.r.mean(), abs=1e-4)
            used.add((roi, method))
    assert stated.n_vertices.sum() == sum(np.load(top / name).shape[1] for name in names)
    assert ("V1v", "contrastive") in used and ("whole", "untuned") in used


def test_a_subject_and_a_method_alone_and_replaced(project, tmp_path):
    write_submission(project, tmp_path / "out", {"subject": "subj02", "method": "untuned"})
    stated = pd.read_csv(tmp_path / "out" / "networks.csv")
    assert set(stated.subject) == {"subj02"} and set(stated.method) == {"untuned"}
    write_submission(project, tmp_path / "out", {"subject": "subj02"})
    assert "contrastive" in (tmp_path / "out" / "networks.csv").read_text()


def test_vertices_that_no_encoder_covers(project, tmp_path, capsys):
    assert export(tmp_path / "out", "--method", "contrastive") == 1
    said = capsys.readouterr().err
    assert "no encoder of 27 of the 57 vertices of subj01 lh" in said and "Add `whole`" in said
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize("option", [("--roi", "V1v"), ("--hemisphere", "lh"), ("--push", "me/it")])
def test_a_submission_is_whole_and_not_pushed(project, tmp_path, capsys, option):
    assert export(tmp_path / "out", *option) == 1
    assert f"{option[0]}: found {option[1]}; expected nothing" in capsys.readouterr().err


def test_test_pictures_that_are_missing(project, tmp_path):
    pictures = Path(project.reader("nsd").root) / "subj02/test_split/test_images"
    aside = tmp_path / "aside"
    shutil.move(pictures, aside)
    try:
        with pytest.raises(InputError, match="no folder; expected the folder of test pictures"):
            write_submission(project, tmp_path / "out", {})
        shutil.copytree(aside, pictures)
        first, second, *_ = sorted(pictures.iterdir())
        first.unlink()
        with pytest.raises(InputError, match="1 missing number: 1; expected each number of test-"):
            write_submission(project, tmp_path / "out", {})
        shutil.copy(second, first.with_name("other.png"))
        with pytest.raises(InputError, match="other names: 'other.png'"):
            write_submission(project, tmp_path / "out", {})
    finally:
        shutil.rmtree(pictures, ignore_errors=True)
        shutil.move(aside, pictures)
    assert not (tmp_path / "out").exists()


def test_an_encoder_that_is_missing(project, tmp_path):
    path = sorted(Path("results/export_encoder").rglob("config.json"))[-1]
    aside = path.rename(tmp_path / "config.json")
    try:
        with pytest.raises(InputError, match="no file; expected the encoder of a finished run"):
            write_submission(project, tmp_path / "out", {})
    finally:
        aside.rename(path)


def test_another_layout(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    simulate = {"n_images": 60, "image_size": 32, "n_classes": 5}
    nod = {"layout": "nod", "subjects": ["sub01"], "rois": ["V1"], "simulate": simulate}
    other = Project(Config.from_mapping({**CONFIG, "datasets": {"nod": nod}}))
    with pytest.raises(InputError, match=r"nod\.layout: found nod; expected algonauts2023"):
        write_submission(other, tmp_path / "out", {})


def test_a_folder_of_something_else_is_left_alone(project, tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(InputError, match="a folder of other files"):
        write_submission(project, tmp_path, {})
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_full_disk(project, tmp_path):
    with mounted(tmp_path / "disk", "16k") as disk:
        with pytest.raises(ResourceError, match="too little space left on the disk"):
            write_submission(project, disk.folder / "out", {})
        assert not [*disk.folder.iterdir()]


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (np.zeros((3, 4)), r"float64 of shape \(3, 4\); expected float32 of shape \(3, 4\)"),
        (np.zeros((4, 3), np.float32), r"float32 of shape \(4, 3\)"),
        (np.array([[0, 1, 2, np.nan]] * 3, np.float32), "3 values not finite"),
        (None, r"other files than those asked for \(subj01/lh_pred_test.npy\)"),
    ],
)
def test_what_is_no_submission(tmp_path, array, said):
    (tmp_path / "subj01").mkdir()
    if array is not None:
        np.save(tmp_path / "subj01/lh_pred_test.npy", array)
    with pytest.raises(InputError, match=said):
        check_files(tmp_path, {"subj01/lh_pred_test.npy": (3, 4)})
