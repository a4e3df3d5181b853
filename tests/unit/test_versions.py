"""What changes a version, and what does not."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections import defaultdict

import pytest
from algonauts_tree import write_tree
from example import EXAMPLE, changed, project
from hypothesis import given
from hypothesis import strategies as st

from cortune.address import Address
from cortune.config import Config
from cortune.project import Project
from cortune.reruns import reruns
from cortune.settings import keys_of, look_up
from cortune.stages import RUNTIME, STAGES
from cortune.versions import VERSION, Provenance, canonical_json, version_of, versions_in

TABLES = {
    "tabulate_encoding",
    "tabulate_comparison",
    "tabulate_published",
    "plot_cortex",
    "plot_encoding",
    "plot_published",
}
CURVE = {"fit_size_curve", "tabulate_size_curve", "plot_size_curve"}
BOUND = {"bound_information", "plot_information"}
TRANSFER = {"transfer_subject", "transfer_dataset"}
TRANSFERRED = {"tabulate_transfer", "plot_transfer"}
PROBED = {"tabulate_probes", "plot_probes", "plot_forgetting"}
LANDSCAPE = {"embed_networks", "plot_landscape"}
SALIENCY = {"tabulate_lateralization", "plot_saliency"}
GATHERED = (
    TABLES | BOUND | TRANSFERRED | PROBED | LANDSCAPE | SALIENCY | (CURVE - {"fit_size_curve"})
) | {"plot_tuning", "tabulate_encoders"}
GATHERED |= {"compare_networks", "tabulate_similarity", "plot_similarity"}
"""Stages of one job, which gathers those of units; all but the last stage."""
UNTUNED = "untuned"
EXPORT = {"export_encoder", "tabulate_encoders"}


def versions(known):
    """Return the version of every job, by stage and address."""
    return {
        (stage, address): known.version(stage, address)
        for stage, addresses in known.jobs.items()
        for address in addresses
        if not STAGES[stage].gathers
    }


def different(before, after):
    """Return the jobs of both that have other versions."""
    one, other = versions(before), versions(after)
    return {job for job in one.keys() & other.keys() if one[job] != other[job]}


def stages_of(jobs):
    return {stage for stage, _ in jobs}


def methods_of(jobs, stage):
    return {address.method for name, address in jobs if name == stage}


BASE = project()
BASE_VERSIONS = versions(BASE)


def test_every_version_looks_as_the_contract_says():
    for (stage, _), version in BASE_VERSIONS.items():
        assert re.fullmatch(rf"{STAGES[stage].number}-[0-9a-f]{{8}}", version)
        assert VERSION.fullmatch(version)


def test_versions_do_not_depend_on_the_order_of_keys():
    shuffled = json.loads(json.dumps(EXAMPLE, sort_keys=True))
    shuffled["tuning"]["dataset"] = "nsd"
    assert versions(Project(Config.from_mapping(shuffled))) == BASE_VERSIONS


def test_paths_of_two_jobs_are_never_one():
    paths = [
        BASE.path(stage, output, address)
        for stage, addresses in BASE.jobs.items()
        for address in addresses
        for output in STAGES[stage].outputs
    ]
    assert len(set(paths)) == len(paths)


# ---- settings

_OTHER = {
    "backbone.name": "vgg11",
    "backbone.layers": ["features.2"],
    "tuning.precision": "bfloat16",
    "features.images": "all",
    "encoding.protocols": ["published"],
    "encoding.size_curve.sizes": [60],
    "landscape.methods": ["mds"],
    "saliency.layer": "features.9",
    "saliency.attribution": "layer_gradcam",
    "cortex.surface": "pial",
    "probes.scenes.layer": "features.9",
    "contrastive_plus.image_layer": "features.12",
    "contrastive_plus.schedule": "constant",
    "contrastive_plus.norm": "layer",
    "contrastive_plus.activation": "relu",
    "contrastive_plus.augmentation": {"crop": 0.5},
}
"""Another value of keys whose values are neither numbers nor switches."""


def changeable():
    """Yield the dotted keys that stages read, each with another valid value."""
    declared = sorted(
        {
            key
            for stage, addresses in BASE.jobs.items()
            for address in addresses
            for key in keys_of(BASE.config, STAGES[stage].reads, address)
        }
        - {"*"}
    )
    plain = BASE.config.as_dict()
    for key in declared:
        yield from _leaves(key, look_up(plain, key))


def _leaves(key, value):
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _leaves(f"{key}.{name}", inner)
        return
    if key in _OTHER:
        yield key, _OTHER[key]
    elif isinstance(value, bool):
        yield key, not value
    elif isinstance(value, int) and value > 0:
        yield key, value + 1
    elif isinstance(value, float) and 0 < value < 1:
        yield key, value * 0.9
    elif isinstance(value, float):
        yield key, value + 1


def valid():
    for key, value in dict(changeable()).items():
        try:
            Config.from_mapping(changed(EXAMPLE, **{key.replace(".", "__"): value}))
        except Exception:
            continue  # a key that another depends on
        yield pytest.param(key, value, id=key)


CHANGES = list(valid())


def test_most_keys_are_tried():
    assert len({param.id for param in CHANGES}) > 60


@pytest.mark.parametrize(("key", "value"), CHANGES)
def test_a_changed_key_changes_the_versions_of_its_readers_and_their_consumers(key, value):
    after = project(**{key.replace(".", "__"): value})
    jobs = different(BASE, after)
    # Directly: jobs under whose declared keys it lies.
    direct = {
        (stage, address)
        for stage, address in BASE_VERSIONS
        for each in keys_of(BASE.config, STAGES[stage].reads, address)
        if key == each or key.startswith(f"{each}.")
    }
    expected = set(direct)
    for stage, address in BASE_VERSIONS:  # each stage after those that it consumes
        made = {
            made for given in STAGES[stage].inputs.values() for made in BASE._made(given, address)
        }
        normal = {(name, STAGES[name].address(each)) for name, each in made}
        if normal & expected:
            expected.add((stage, address))
    if key.startswith("datasets."):  # the number of voxels may have changed, and what rests on it
        assert jobs >= {job for job in expected if job in versions(after)}
    else:
        assert jobs == expected
    named = re.sub(r"^(datasets|probes)\.\w+", r"\1.<name>", key)
    assert stages_of(jobs) <= set(reruns(named)) | ({"tune_pooled"} if "vertices" in key else set())


@pytest.mark.parametrize("key", RUNTIME)
def test_where_and_how_jobs_run_changes_nothing(key):
    value = {"device": "cpu"}.get(key, 3)
    after = project(**{key.replace(".", "__"): value})
    assert versions(after) == BASE_VERSIONS
    assert after.version("publish_results") == BASE.version("publish_results")


def test_alphas_change_encoding_only():
    jobs = different(BASE, project(encoding__alphas={"num": 5}))
    assert stages_of(jobs) == {
        "encode_roi",
        *TABLES,
        *CURVE,
        *TRANSFER,
        *TRANSFERRED,
        *EXPORT,
        "plot_forgetting",
        "plot_similarity",
    }


def test_temperature_changes_contrastive_tuning_and_what_follows():
    """And the pooled networks, which are tuned by the same recipe."""
    jobs = different(BASE, project(contrastive__temperature=0.1))
    recipes = {"contrastive", "pooled_mean", "pooled_loso"}
    assert methods_of(jobs, "tune_network") == {"contrastive"}
    assert methods_of(jobs, "tune_pooled") == {"pooled_mean", "pooled_loso"}
    for stage in ("extract_features", "encode_roi", "fit_size_curve", "probe_network"):
        assert methods_of(jobs, stage) == recipes, stage
    assert methods_of(jobs, "map_saliency") == recipes
    assert methods_of(jobs, "transfer_subject") == {"contrastive"}
    assert stages_of(jobs) >= GATHERED


@pytest.mark.parametrize(
    ("section", "method", "stage"),
    [
        ("regression", "regression", "tune_network"),
        ("contrastive_plus", "contrastive_plus", "tune_network"),
        ("contrastive", "pooled_mean", "tune_pooled"),
        ("contrastive", "pooled_loso", "tune_pooled"),
    ],
)
def test_every_recipe_reaches_its_own_method_alone(section, method, stage):
    jobs = different(BASE, project(**{f"{section}__epochs": 3}))
    assert method in methods_of(jobs, stage)
    for other in {"regression", "contrastive_plus", "contrastive"} - {section}:
        assert other not in methods_of(jobs, "tune_network")


def test_sizes_of_the_curve_reach_the_features_but_its_methods_do_not():
    jobs = different(BASE, project(encoding__size_curve={"sizes": [40]}))
    assert "contrastive" in methods_of(jobs, "extract_features")
    fewer = project(encoding__size_curve={"sizes": [50], "methods": ["untuned"]})
    assert stages_of(different(BASE, fewer)) == {"tabulate_size_curve", "plot_size_curve"}


def test_seed_changes_everything_random():
    jobs = different(BASE, project(seed=1))
    assert jobs == set(BASE_VERSIONS), "of simulated data, everything"


# ---- more of the same


def more_subjects():
    return project(datasets__nsd__subjects=["subj01", "subj02", "subj03"])


def test_another_subject_changes_nothing_of_those_there_are():
    """But of networks that pool subjects, and of what gathers or compares all of them."""
    after = more_subjects()
    jobs = different(BASE, after)
    touched = stages_of(jobs) - GATHERED
    assert {a.method for stage, a in jobs if stage not in GATHERED | TRANSFER} == {
        "pooled_mean",
        "pooled_loso",
    }
    assert {"tune_pooled", "transfer_subject"} <= touched
    assert stages_of(jobs) >= GATHERED
    # Every network is tried on the new subject, which its file gets an encoding of.
    assert {stage for stage, a in jobs if a.method in ("contrastive", "regression")} == {
        "transfer_subject"
    }
    assert not {a.method for stage, a in jobs if stage == "transfer_dataset"} - {"pooled_mean"}


def test_another_roi_changes_tables_and_figures_only():
    jobs = different(BASE, project(datasets__nsd__rois=["V1v", "PPA"]))
    # Probes and saliency have a folder for all networks of a subject and method.
    # And the encoder of the untuned network predicts all ROIs.
    assert stages_of(jobs) - GATHERED == {"probe_network", "map_saliency", "export_encoder"}
    assert {stage for stage, address in jobs if address.method == UNTUNED} == {"export_encoder"}


@pytest.mark.parametrize(
    "after", [more_subjects(), project(datasets__nsd__rois=["V1v", "PPA"])], ids=["subject", "roi"]
)
def test_nothing_that_was_made_before_is_lost_to_what_is_new(after):
    kept = ("prepare_images", "prepare_responses", "split_images", "tune_network")
    kept += ("decompose_features", "encode_roi")
    for (stage, address), version in BASE_VERSIONS.items():
        if stage in kept and "pooled" not in address.method:
            assert after.version(stage, address) == version, (stage, address)


def test_another_data_set_changes_nothing_of_this_one():
    other = {"layout": "algonauts2023", "root": "elsewhere", "subjects": ["subj01"]}
    after = project(datasets__other=other)
    assert versions(after) == BASE_VERSIONS
    assert after.version("publish_results") != BASE.version("publish_results")


def test_equal_work_for_several_subjects_has_one_version_and_paths_of_their_own():
    by_stage = defaultdict(set)
    for (stage, address), version in BASE_VERSIONS.items():
        if address.method in ("", "contrastive") and address.dataset in ("", "nsd"):
            by_stage[stage].add(version)
    assert len(by_stage["tune_network"]) == len(by_stage["prepare_images"]) == 1
    one, other = (
        BASE.path("tune_network", "network", Address("nsd", s, "lh", "V1v", "contrastive", "0"))
        for s in ("subj01", "subj02")
    )
    assert one != other and one.replace("subj01", "subj02") == other


# ---- transfer


def transferring(**changes):
    sections = {**EXAMPLE, "tuning": {"dataset": "nsd", "methods": ["untuned", "contrastive"]}}
    return Project(Config.from_mapping(changed(sections, **changes)))


MOVED = Address("nsd", "subj01", "lh", "V1v", "contrastive", "0", target="nod")


def test_transfer_to_a_data_set_depends_on_both():
    before = transferring()
    paths = before.inputs("transfer_dataset", MOVED)
    assert all("/ds-nod/" in path for path in paths["images"] + paths["responses"])
    assert all("/ds-nsd/" in path for path in paths["network"])
    for change in (
        {"datasets__nsd__simulate__n_images": 210},
        {"contrastive__epochs": 3},
        {"datasets__nod__top_vertices": 20},
        {"datasets__nod__simulate__n_images": 210},
    ):
        jobs = different(before, transferring(**change))
        assert ("transfer_dataset", MOVED) in jobs, change
        assert ("tabulate_transfer", Address()) in jobs
    assert "encode_roi" not in stages_of(
        different(before, transferring(datasets__nod__top_vertices=20))
    )


def test_min_voxels_reaches_transfer_by_the_rois_that_it_leaves():
    """No key of its own: the ROIs of the target that are left count."""
    simulate = EXAMPLE["datasets"]["nsd"]["simulate"]
    second = {
        "layout": "algonauts2023",
        "subjects": ["subj05"],
        "rois": ["V1v", "PPA"],
        "simulate": {**simulate, "vertices": {"V1v": 60, "PPA": 40}},
    }
    pair = {"source": "nsd", "target": "second", "rois": {"V1v": ["V1v"], "PPA": ["V1v"]}}

    def after(least):
        return transferring(
            datasets__second=second,
            datasets__nsd__simulate={**simulate, "vertices": {"V1v": 100}},
            transfer__datasets=[pair],
            tuning__min_voxels=least,
        )

    job = ("transfer_dataset", MOVED.but(target="second"))
    assert after(20).facts(*job) == {"subj05": ["V1v", "PPA"]}
    assert different(after(20), after(40)) == set(), "it leaves the same ROIs"
    assert after(41).facts(*job) == {"subj05": ["V1v"]}
    jobs = different(after(40), after(41))
    assert job in jobs and stages_of(jobs) == {
        "transfer_dataset",
        "tabulate_transfer",
        "plot_transfer",
    }


# ---- probes


def test_a_probe_changes_what_is_made_from_it():
    penalty = stages_of(different(BASE, project(probes__scenes__penalties=[2.0])))
    assert penalty == {"probe_network", "map_saliency", *PROBED, *LANDSCAPE, *SALIENCY}
    images = stages_of(different(BASE, project(probes__scenes__n_images=200)))
    assert images == penalty | {"prepare_probe"}


MORE = {"kind": "scenes", "n_images": 60, "n_classes": 5}


def test_another_probe_changes_summaries_of_all_probes_alone():
    after = project(probes__more=MORE)
    assert stages_of(different(BASE, after)) == PROBED | LANDSCAPE
    probes = {address.probe for name, address in versions(after) if name == "probe_network"}
    assert probes == {"more", "scenes"}
    assert after.version("prepare_probe", Address(probe="more")) != after.version(
        "prepare_probe", Address(probe="scenes")
    )


def test_saliency_follows_its_own_probe():
    first = project(probes__more=MORE)
    named = project(probes__more=MORE, saliency__probe="more")
    assert stages_of(different(first, named)) == {"map_saliency", *SALIENCY}


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("landscape__methods", ["mds"], LANDSCAPE),
        ("saliency__layer", "features.9", {"map_saliency"} | SALIENCY),
        ("saliency__n_permutations", 500, SALIENCY),
    ],
)
def test_settings_of_landscape_and_saliency_change_nothing_else(key, value, expected):
    assert stages_of(different(BASE, project(**{key: value}))) == expected


def test_switching_landscape_and_saliency_on_changes_nothing_before_them():
    off = project(landscape=None, saliency=None, probes={})
    assert different(off, BASE) == set()
    assert set(versions(off)) < set(BASE_VERSIONS)


# ---- raw data

REAL = {
    "datasets": {
        "nsd": {"layout": "algonauts2023", "subjects": ["subj01", "subj02"], "rois": ["V1v"]}
    },
    "backbone": {"weights": "random"},
    "tuning": {"methods": ["untuned", "contrastive", "pooled_mean"], "min_voxels": 1},
}


@pytest.fixture(scope="module")
def trees(tmp_path_factory):
    """Two subjects in the layout of the Algonauts challenge."""
    root = tmp_path_factory.mktemp("data") / "algonauts"
    for number in (1, 2):
        write_tree(root, number)
    return root


def real(root, **changes):
    mapping = changed(REAL, datasets__nsd__root=str(root), **changes)
    return Project(Config.from_mapping(mapping), str(root.parent / "results"))


def test_a_data_set_that_was_moved_is_the_same(trees, tmp_path):
    before = versions(real(trees))
    copy = shutil.copytree(trees, tmp_path / "elsewhere" / "deep")
    assert versions(real(copy)) == before
    moved = copy.rename(tmp_path / "moved")
    assert versions(real(moved)) == before
    pointer = tmp_path / "pointer"
    pointer.symlink_to(moved)
    assert versions(real(pointer)) == before


@pytest.mark.parametrize(
    "part", ["training_split/training_fmri/lh_*", "roi_masks/lh.*", "**/*.png"]
)
def test_other_content_changes_what_is_made_of_that_subject_alone(trees, tmp_path, part):
    root = shutil.copytree(trees, tmp_path / "data")
    before = real(root)
    versions(before)
    file = sorted((root / "subj02").glob(part))[0]
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    jobs = different(before, real(root))
    for stage, address in jobs:
        if address.subject != "subj02":  # it pools or gathers subjects, or is tried on others
            assert stage in GATHERED | {"transfer_subject"} or address.method == "pooled_mean", (
                stage,
                address,
            )
    prepared = {stage for stage, _ in jobs if stage.startswith("prepare")}
    assert prepared == {"prepare_images" if file.suffix == ".png" else "prepare_responses"}


def test_a_renamed_picture_is_another(trees, tmp_path):
    """Its name says which image it shows."""
    root = shutil.copytree(trees, tmp_path / "data")
    before = real(root)
    versions(before)
    first = sorted((root / "subj01").rglob("*.png"))[0]
    first.rename(first.with_name(first.name.replace("nsd-", "nsd-9")))
    assert {"prepare_images", "prepare_responses"} <= stages_of(different(before, real(root)))


def test_times_of_raw_files_do_not_matter(trees, tmp_path):
    root = shutil.copytree(trees, tmp_path / "data")
    before = versions(real(root))
    for file in root.rglob("*"):
        os.utime(file, (1, 1))
    assert versions(real(root)) == before


def test_local_weights_count_by_content(trees, tmp_path):
    for name, content in (("a.pth", b"one"), ("b.pth", b"one"), ("c.pth", b"two")):
        (tmp_path / name).write_bytes(content)
    one, same, other = (
        real(trees, backbone__weights=str(tmp_path / name)).version("prepare_backbone")
        for name in ("a.pth", "b.pth", "c.pth")
    )
    assert one == same != other
    assert real(trees).version("prepare_backbone") not in (one, other)


# ---- version_of

ADDRESS = Address("nsd", "subj01", "lh", "V1v", "contrastive", "0")
WHAT = {
    "config": {"seed": 0},
    "inputs": {"grams": ["results/extract_features/2-00000000/ds-nsd/sub-subj01/grams.h5"]},
    "sources": "abc",
    "facts": {"a": 1},
}


def test_a_version_covers_all_that_it_is_made_of():
    base = version_of("encode_roi", 1, ADDRESS, **WHAT)
    path = WHAT["inputs"]["grams"][0]
    others = [
        version_of("fit_size_curve", 1, ADDRESS, **WHAT),
        version_of("encode_roi", 2, ADDRESS, **WHAT),
        version_of("encode_roi", 1, ADDRESS, **{**WHAT, "config": {"seed": 1}}),
        version_of("encode_roi", 1, ADDRESS, **{**WHAT, "sources": "abd"}),
        version_of("encode_roi", 1, ADDRESS, **{**WHAT, "facts": None}),
        version_of("encode_roi", 1, ADDRESS, **{**WHAT, "inputs": {"other": [path]}}),
        version_of("encode_roi", 1, ADDRESS, **{**WHAT, "inputs": {"grams": [path, path]}}),
        version_of(
            "encode_roi",
            1,
            ADDRESS,
            **{**WHAT, "inputs": {"grams": [path.replace("2-00000000", "2-00000001")]}},
        ),
        version_of(
            "encode_roi",
            1,
            ADDRESS,
            **{**WHAT, "inputs": {"grams": [path.replace("sub-subj01", "sub-subj02")]}},
        ),
    ]
    assert len({base, *others}) == len(others) + 1


def test_where_results_lie_and_what_a_job_shares_with_its_inputs_do_not_count():
    base = version_of("encode_roi", 1, ADDRESS, **WHAT)
    elsewhere = {
        "inputs": {"grams": [f"/data/{path}" for path in WHAT["inputs"]["grams"]]},
    }
    assert version_of("encode_roi", 1, ADDRESS, **{**WHAT, **elsewhere}) == base
    shared = {"inputs": {"grams": [p.replace("subj01", "subj02") for p in WHAT["inputs"]["grams"]]}}
    other = ADDRESS.but(subject="subj02")
    assert version_of("encode_roi", 1, other, **{**WHAT, **shared}) == base


def test_the_order_of_several_inputs_of_a_name_does_not_count():
    paths = [f"results/encode_roi/1-0000000{n}/sub-subj0{n}/encoding.h5" for n in range(3)]
    one, other = (
        version_of("tabulate_encoding", 1, Address(), config={}, inputs={"encodings": each})
        for each in (paths, paths[::-1])
    )
    assert one == other


def test_versions_in_paths():
    paths = [
        "results/encode_roi/1-00000001/ds-nsd/encoding.h5",
        "results/encode_roi/1-00000000/ds-nsd/encoding.h5",
        "/data/results/split_images/1-0000000a/split.csv",
        "/data/raw/image.png",
    ]
    assert versions_in(paths) == {
        "encode_roi": ["1-00000000", "1-00000001"],
        "split_images": "1-0000000a",
    }


def test_provenance_is_written_whole():
    provenance = Provenance(
        "encode_roi",
        "1-00000000",
        3,
        config={"encoding.folds": 5},
        inputs={"extract_features": "2-00000000"},
        raw={"a": "b"},
    )
    written = json.loads(provenance.to_json())
    assert set(written) == {
        "stage", "version", "cortune", "seed", "config", "inputs", "raw", "notes",
    }  # fmt: skip
    assert written["config"]["encoding.folds"] == 5 and written["raw"] == {"a": "b"}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(json_values)
def test_canonical_json_round_trips_and_is_unique(value):
    text = canonical_json(value)
    assert json.loads(text) == value
    assert canonical_json(json.loads(text)) == text
