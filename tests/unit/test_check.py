from __future__ import annotations

import re
import shutil
import sys

import numpy as np
import pytest
import torch
import yaml
from algonauts_tree import write_tree
from PIL import Image

from cortune.check import find_problems
from cortune.cli import main
from cortune.data.algonauts import AlgonautsReader


@pytest.fixture
def tree(tmp_path):
    return write_tree(tmp_path / "data", 1)


def configuration(tmp_path, **sections):
    config = {
        "datasets": {
            "nsd": {
                "layout": "algonauts2023",
                "root": str(tmp_path / "data"),
                "rois": ["V1v", "PPA"],
            }
        },
        "backbone": {"name": "alexnet_small", "weights": "random", "input_size": 64},
        **sections,
        "tuning": {"min_voxels": 2, **sections.get("tuning", {})},
    }
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


def test_a_sound_project_has_no_problem(tmp_path, tree, capsys):
    assert main(["check", "--configfile", str(configuration(tmp_path))]) == 0
    said = capsys.readouterr().out
    assert said.endswith("\nNo problem found.\n")
    table = {line[2:24].strip(): line[24:].split() for line in said.splitlines()[1:-2]}
    assert table[""] == ["subj01"]
    reader = AlgonautsReader(tree.root)
    left, right = (reader.responses("subj01", side) for side in ("lh", "rh"))
    assert table["images"] == [str(len(left.identities))]
    for roi in ("V1v", "PPA"):
        assert table[roi] == [f"{len(left.rois[roi])}+{len(right.rois[roi])}"]
    medians = [f"{np.median(side.noise_ceiling):.2f}" for side in (left, right)]
    assert table["noise ceiling, median"] == medians


def test_pictures_that_decode_alike_are_named(tmp_path, tree, capsys):
    first, second, *_ = sorted(tree.pictures.iterdir())
    shutil.copy(first, second)
    for label in ("a", "b"):
        (tmp_path / "probe" / label).mkdir(parents=True)
        for index in range(3):
            pixels = np.full((80, 80, 3), 40 * index + 5 * (label == "b"), np.uint8)
            Image.fromarray(pixels).save(tmp_path / "probe" / label / f"{index}.png")
    Image.open(tmp_path / "probe/a/0.png").save(tmp_path / "probe/a/copy.bmp")
    probe = {"kind": "image_folder", "root": str(tmp_path / "probe")}
    path = configuration(tmp_path, probes={"p": probe})
    assert main(["check", "--configfile", str(path)]) == 0
    said = capsys.readouterr().out
    ids = [f"nsd:{i:05d}" for i in tree.nsd_ids[:2]]
    assert f"note: datasets.nsd: found pictures that decode alike, {', '.join(ids)}" in said
    assert "note: probes.p: found pictures that decode alike, a/0.png, a/copy.bmp" in said


def test_a_split_that_cannot_be_is_a_problem(tmp_path, tree):
    (problem,) = find_problems(configuration(tmp_path, split={"by": "shared515"}))
    assert problem.startswith("split.by: found shared515 with subj01 of nsd, who saw none")
    path = configuration(tmp_path, split={"by": "file", "file": str(tmp_path / "none.csv")})
    (problem,) = find_problems(path)
    assert "none.csv" in problem


def test_all_problems_are_reported_at_once(tmp_path, tree, capsys):
    tree.responses["lh"].unlink()
    np.save(tree.responses["rh"], np.zeros((3, 75), np.float32))
    (tmp_path / "weights.pth").write_bytes(b"junk")
    path = configuration(
        tmp_path,
        backbone={
            "name": "alexnet_small",
            "weights": str(tmp_path / "weights.pth"),
            "layers": ["features.2"],
        },
    )
    assert main(["check", "--configfile", str(path)]) == 1
    said = capsys.readouterr().out
    for word in ("lh_training_fmri.npy", "rh_training_fmri.npy", "weights.pth", "problem(s)"):
        assert word in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("backbone", "words"),
    [
        ({"name": "alexnot", "weights": "random"}, ["backbone.name", "alexnet"]),
        (
            {"name": "alexnet_small", "weights": "random", "layers": ["feature.2"]},
            ["backbone.layers", "features.2"],
        ),
        (
            {"name": "squeezenet1_1", "weights": "V9", "layers": ["features.0"]},
            ["backbone.weights", "IMAGENET1K_V1"],
        ),
        (
            {"name": "alexnet_small", "weights": "none.safetensors"},
            ["none.safetensors", "no file"],
        ),
    ],
)
def test_backbone_problems(tmp_path, tree, backbone, words):
    (problem,) = find_problems(configuration(tmp_path, backbone=backbone))
    for word in words:
        assert word in problem


SCENES = {"kind": "scenes", "n_images": 50, "n_classes": 5}


@pytest.mark.parametrize(
    ("sections", "words"),
    [
        (
            {"probes": {"a": {"kind": "image_folder", "root": "nowhere"}}},
            ["probes.a", "nowhere", "no folder"],
        ),
        (
            {"probes": {"a": {**SCENES, "n_images": 5}}},
            ["probes.a", "5 scenes", "two scenes of each"],
        ),
        (
            {"probes": {"a": {**SCENES, "layer": "clasifier.5"}}},
            ["probes.a.layer", "clasifier.5", "Did you mean classifier.5"],
        ),
        (
            {"probes": {"a": SCENES}, "saliency": {"layer": "feature.12"}},
            ["saliency.layer", "feature.12", "Did you mean features.12"],
        ),
    ],
)
def test_probe_problems(tmp_path, tree, sections, words):
    (problem,) = find_problems(configuration(tmp_path, **sections))
    for word in words:
        assert word in problem


def test_every_picture_of_a_probe_is_looked_at(tmp_path, tree):
    from PIL import Image

    for name in ("cat", "dog"):
        (tmp_path / "pets" / name).mkdir(parents=True)
        for number in range(2):
            Image.new("RGB", (80, 80)).save(tmp_path / "pets" / name / f"{number}.png")
    probes = {"pets": {"kind": "image_folder", "root": str(tmp_path / "pets")}}
    path = configuration(tmp_path, probes=probes, landscape={}, saliency={})
    assert find_problems(path) == []
    (tmp_path / "pets/dog/1.png").write_bytes(b"no picture")
    (problem,) = find_problems(path)
    assert problem.startswith("probes.pets") and "1.png" in problem


def test_a_layer_of_saliency_that_is_not_used_is_no_problem(tmp_path, tree):
    path = configuration(tmp_path, saliency={"layer": "feature.12"})
    assert find_problems(path) == []


def test_configuration_problems(tmp_path):
    path = configuration(tmp_path, contrastive={"temprature": 1})
    assert find_problems(path) == [
        "contrastive.temprature: unknown key; did you mean contrastive.temperature?"
    ]


def test_no_images_to_tune_on(tmp_path, tree):
    path = configuration(tmp_path, split={"tune": 0.0, "validation": 0.5, "test": 0.5})
    (problem,) = find_problems(path)
    assert "split" in problem and "contrastive" in problem


def test_published_weights_are_not_downloaded(tmp_path, tree, monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("asked the network")

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", refuse)
    monkeypatch.setattr("torch.hub.urlopen", refuse)
    backbone = {"name": "squeezenet1_1", "weights": "IMAGENET1K_V1", "layers": ["features.0"]}
    assert find_problems(configuration(tmp_path, backbone=backbone)) == []


def test_a_simulation_that_cannot_be_had(tmp_path):
    path = configuration(tmp_path)
    config = yaml.safe_load(path.read_text())
    config["datasets"]["nsd"] = {
        "layout": "algonauts2023",
        "subjects": ["subj01"],
        "simulate": {"n_images": 50, "n_shared": 60},
    }
    path.write_text(yaml.safe_dump(config))
    (problem,) = find_problems(path)
    assert "n_shared" in problem


def test_no_roi_is_large_enough(tmp_path):
    path = configuration(tmp_path, tuning={"min_voxels": 20})
    config = yaml.safe_load(path.read_text())
    config["datasets"]["nsd"] = {
        "layout": "algonauts2023",
        "subjects": ["subj01"],
        "rois": ["V1v"],
        "simulate": {"n_images": 50, "n_shared": 10, "vertices": {"V1v": 5}},
    }
    path.write_text(yaml.safe_dump(config))
    (problem,) = find_problems(path)
    assert "datasets.nsd.rois" in problem and "min_voxels" in problem


def test_summary_before_any_run(tmp_path, capsys):
    assert main(["summary", "--results", str(tmp_path)]) == 1
    assert "no complete run" in capsys.readouterr().err


def test_simulate_writes_what_the_reader_accepts(tmp_path, capsys):
    from cortune.data.readers import open_dataset

    out = tmp_path / "data"
    arguments = ["simulate", "--out", str(out), "--subjects", "2", "--n-images", "30"]
    arguments += ["--n-shared", "10", "--n-test-images", "2", "--image-size", "32"]
    arguments += ["--vertices", "V1v=30", "PPA=20", "mTL-faces=0"]
    assert main(arguments) == 0
    reader = open_dataset("algonauts2023", out)
    assert reader.subjects() == ["subj01", "subj02"]
    assert reader.problems("all", ["V1v", "PPA"]) == []
    assert reader.roi_sizes("subj02", "rh")["V1v"] == 30


def test_simulated_subjects_are_told_from_others(tmp_path, monkeypatch, capsys):
    """By the check, and by the model card of an encoder."""
    from cortune.address import Address
    from cortune.config import Config
    from cortune.exports import _is_simulated
    from cortune.project import Project

    arguments = ["simulate", "--out", str(tmp_path / "data"), "--subjects", "2", "--n-images", "30"]
    arguments += ["--n-shared", "10", "--image-size", "32", "--vertices", "V1v=30"]
    assert main(arguments) == 0
    shutil.rmtree(tmp_path / "truth" / "subj02")
    path = tmp_path / "config.yaml"
    config = nod_config(tmp_path / "data", layout="algonauts2023", rois=["V1v"])
    path.write_text(yaml.safe_dump(config))
    capsys.readouterr()
    assert main(["check", "--configfile", str(path)]) == 0
    said = capsys.readouterr().out
    for subject, simulated in (("subj01", True), ("subj02", False)):
        address = Address(dataset="nod", subject=subject, hemisphere="lh", roi="V1v")
        monkeypatch.setattr("cortune.exports.units", lambda *_, unit=address: [unit])
        assert _is_simulated(Project(Config.from_file(path)), address) is simulated
    assert "subj01 (simulated)" in said and re.search(r"\bsubj02\n", said)


def nod_config(folder, **dataset):
    return {
        "datasets": {
            "nod": {"layout": "nod", "root": str(folder), "rois": ["V1"], **dataset},
        },
        "backbone": {"name": "alexnet_small", "weights": "random", "input_size": 64},
    }


def test_nod_is_checked_as_configured(tmp_path, capsys):
    from cortune.simulate import NodSpec, simulate_layout

    spec = NodSpec(n_images=6, run_trials=3, session_runs=1, image_size=32)
    simulate_layout("nod", tmp_path / "data", ["sub01"], spec, seed=0)

    def said(**dataset):
        path = tmp_path / "config.yaml"
        path.write_text(yaml.safe_dump(nod_config(tmp_path / "data", **dataset)))
        status = main(["check", "--configfile", str(path)])
        return status, capsys.readouterr().out

    assert said()[0] == 0
    status, text = said(rois=["V11"])
    assert status == 1 and "V11" in text
    status, text = said(subjects=["sub02"])
    assert status == 1 and "sub02" in text
    support = tmp_path / "data" / "supportfiles" / "MMP_mpmLR32k.mat"
    support.unlink()
    status, text = said()
    assert status == 1 and support.name in text and "Traceback" not in text


@pytest.mark.parametrize(
    ("library", "sections", "words"),
    [
        ("peft", {"tuning": {"adapt": {"lora": {}}}}, r"tuning\.adapt\.lora: .*cortune\[lora\]"),
        (
            "open_clip",
            {"backbone": {"name": "open_clip/ViT-B-32/openai", "layers": "auto"}},
            r"backbone\.name: .*cortune\[open-clip\]",
        ),
    ],
)
def test_a_missing_library_is_named(tmp_path, tree, monkeypatch, library, sections, words):
    path = configuration(tmp_path, **sections)
    assert not find_problems(path)
    monkeypatch.setitem(sys.modules, library, None)
    (problem,) = find_problems(path)
    assert re.search(f"{words}.*", problem) and f"found no {library} here" in problem


def test_what_cannot_be_adapted_is_a_problem(tmp_path, tree):
    (problem,) = find_problems(configuration(tmp_path, tuning={"adapt": {"last_blocks": 9}}))
    assert re.match(r"tuning\.adapt\.last_blocks: found 9; expected at most the 8 blocks", problem)


@pytest.mark.parametrize(
    ("dataset", "sections", "words"),
    [
        ({"rois": ["FFA-1"]}, {}, "found no ROI with enough voxels .* the ROI is empty"),
        (
            {"rois": ["V1v"]},
            {"export": {"methods": ["contrastive"], "rois": ["V2v"]}},
            "export.rois: found 'V2v'; expected one of V1v",
        ),
        (
            {},
            {"tuning": {"methods": ["pooled_loso"]}},
            "tuning.methods: found pooled_loso .* subj01 alone has",
        ),
    ],
)
def test_what_planning_refuses_is_a_problem(tmp_path, tree, dataset, sections, words):
    for hemisphere in ("lh", "rh"):
        path = tree.masks / f"{hemisphere}.floc-faces_challenge_space.npy"
        np.save(path, np.zeros_like(np.load(path)))
    path = configuration(tmp_path, **sections)
    config = yaml.safe_load(path.read_text())
    config["datasets"]["nsd"] |= dataset
    path.write_text(yaml.safe_dump(config))
    (problem,) = find_problems(path)
    assert re.search(words, problem)


def test_rois_that_are_too_small_are_noted(tmp_path, tree, capsys):
    path = tree.masks / "lh.floc-faces_challenge_space.npy"
    np.save(path, np.zeros_like(np.load(path)))
    right = tree.masks / "rh.floc-faces_challenge_space.npy"
    np.save(right, np.zeros_like(np.load(right)))
    path = configuration(tmp_path)
    config = yaml.safe_load(path.read_text())
    config["datasets"]["nsd"]["rois"] = ["V1v", "FFA-1"]
    path.write_text(yaml.safe_dump(config))
    assert main(["check", "--configfile", str(path)]) == 0
    assert "note: skipped: FFA-1 (0 voxels, fewer than 2)\n" in capsys.readouterr().out


def photographs(tmp_path, n, **dataset):
    rng = np.random.default_rng(0)
    (tmp_path / "photos").mkdir()
    for index in range(n):
        pixels = rng.integers(0, 256, (40, 48, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "photos" / f"{index}.png")
    path = configuration(tmp_path)
    config = yaml.safe_load(path.read_text())
    config["datasets"]["nsd"] = {
        "layout": "algonauts2023",
        "subjects": ["subj01"],
        "rois": ["V1v"],
        "simulate": {
            "images": str(tmp_path / "photos"),
            "image_size": 32,
            "vertices": {"V1v": 30},
            **dataset,
        },
    }
    path.write_text(yaml.safe_dump(config))
    return path


def test_photographs_are_counted(tmp_path, capsys):
    path = photographs(tmp_path, 60)
    assert main(["check", "--configfile", str(path)]) == 0
    expected = f"photographs: 60 pictures in {tmp_path / 'photos'}, shown to the simulated brain"
    assert f"{expected} of 1 subject\n" in capsys.readouterr().out


@pytest.mark.parametrize("mirrored", [False, True])
def test_photographs_too_few_for_a_set_are_a_problem(tmp_path, mirrored):
    path = photographs(tmp_path, 4, mirrored=mirrored)
    shares = {"tune": 0.85, "validation": 0.05, "fit": 0.05, "test": 0.05}
    path.write_text(path.read_text() + yaml.safe_dump({"split": shares}))
    (problem,) = find_problems(path)
    assert re.match(r"split: found no image for .+ among 4; expected", problem)


@pytest.mark.parametrize("source", ["photographs", "scenes"])
def test_identities_are_foreseen(tmp_path, source):
    from cortune.check import _few_images
    from cortune.config import Config
    from cortune.data.images import Framing, read_index_lines
    from cortune.data.prepare import prepare_images
    from cortune.project import Project
    from cortune.simulate import simulate_layout
    from cortune.versions import Provenance

    path = photographs(tmp_path, 6, mirrored=True)
    config = yaml.safe_load(path.read_text())
    if source == "scenes":
        sizes = {"n_images": 20, "n_shared": 2, "n_test_images": 0, "image_size": 32}
        config["datasets"]["nsd"]["simulate"] = {**sizes, "vertices": {"V1v": 30}}
    project = Project(Config.from_mapping(config), str(tmp_path / "results"))
    out, index = tmp_path / "out" / "data", tmp_path / "index.csv"
    seed = project.config.seed
    simulate_layout("algonauts2023", out, ["subj01"], project.simulation("nsd"), seed)
    made = Provenance("prepare_images", "1-00000000", 0)
    prepare_images(AlgonautsReader(out), "subj01", Framing(32), tmp_path / "cache.npy", index, made)
    found = {line["identity"] for line in read_index_lines(index)}
    assert len(found) in (6, 20) and set(_few_images(project, "subj01")) == found


def test_a_problem_that_is_met_twice_is_said_once(tmp_path):
    path = photographs(tmp_path, 1)
    config = yaml.safe_load(path.read_text())
    sizes = {"n_images": 20, "n_shared": 2, "n_test_images": 0, "image_size": 32}
    config["datasets"]["nsd"]["simulate"] = {**sizes, "vertices": {"V1v": 30}}
    config["backbone"] = {"name": "alexnot", "weights": "random"}
    path.write_text(yaml.safe_dump(config))
    (problem,) = find_problems(path)
    assert problem.startswith("backbone.name: found 'alexnot'")
