from __future__ import annotations

import copy
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortune.config import Config
from cortune.versions import STAGES, Versions, canonical_json, entity_path, look_up

BASE = {
    "datasets": {
        "nsd": {"layout": "algonauts2023", "subjects": ["subj01"], "rois": ["V1v"], "simulate": {}}
    },
    "backbone": {"name": "alexnet_small", "weights": "pretrain", "input_size": 64},
    "probes": {"scenes": {"kind": "scenes", "n_images": 100, "n_classes": 5}},
    "landscape": {},
    "saliency": {},
}
METHODS = ("untuned", "contrastive")


def versions(**changes):
    mapping = copy.deepcopy(BASE)
    for key, value in changes.items():
        *parents, last = key.split("__")
        section = mapping
        for parent in parents:
            section = section.setdefault(parent, {})
        section[last] = value
    return Versions(Config.from_mapping(mapping).as_dict())


def changed(before, after):
    """Return the (stage, method) pairs whose version differs."""
    return {
        (stage, method)
        for stage in STAGES
        for method in METHODS
        if before.of(stage, method=method) != after.of(stage, method=method)
    }


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
BY_NETWORK = {"probe_network", "map_saliency"}


def stages(*names, methods=METHODS):
    return {(name, method) for name in names for method in methods}


def test_version_looks_as_the_contract_says():
    for stage in STAGES:
        version = versions().of(stage, method="contrastive")
        assert re.fullmatch(rf"{STAGES[stage].number}-[0-9a-f]{{8}}", version)


def test_versions_do_not_depend_on_the_order_of_keys():
    config = Config.from_mapping(BASE).as_dict()
    shuffled = json.loads(json.dumps(config, sort_keys=True))
    assert Versions(config).of("encode_roi") == Versions(shuffled).of("encode_roi")


def test_alphas_change_encoding_only():
    different = changed(versions(), versions(encoding__alphas={"num": 5}))
    encoded = {*TABLES, *CURVE, *TRANSFER, *TRANSFERRED, "plot_forgetting"}
    assert different == stages("encode_roi", *encoded)


def test_temperature_changes_contrastive_tuning_and_what_follows():
    """And the pooled networks, which are tuned by the same recipe."""
    different = changed(versions(), versions(contrastive__temperature=0.1))
    assert different == (
        stages("tune_network", "tune_pooled", methods=["contrastive"])
        | stages("extract_features", "encode_roi", *TRANSFER, methods=["contrastive"])
        | stages("fit_size_curve", *BY_NETWORK, methods=["contrastive"])
        | stages(*TABLES, *TRANSFERRED, *BOUND, *CURVE - {"fit_size_curve"})
        | stages(*PROBED, *LANDSCAPE, *SALIENCY)
        | stages("plot_tuning")
    )


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
    before, after = versions(), versions(**{f"{section}__epochs": 3})
    assert before.of(stage, method=method) != after.of(stage, method=method)
    for other in {"regression", "contrastive_plus", "contrastive"} - {section}:
        assert before.of("tune_network", method=other) == after.of("tune_network", method=other)


def test_sizes_of_the_curve_reach_the_features_but_its_methods_do_not():
    sizes = versions(encoding__size_curve={"sizes": [50]})
    assert ("extract_features", "contrastive") in changed(versions(), sizes)
    methods = versions(encoding__size_curve={"methods": ["untuned"]})
    assert changed(versions(), methods) == stages("tabulate_size_curve", "plot_size_curve")


@pytest.mark.parametrize("key", ["subjects", "rois"])
def test_adding_a_subject_or_roi_changes_tables_and_figures_only(key):
    more = {"subjects": ["subj01", "subj02"], "rois": ["V1v", "hV4"]}[key]
    different = changed(versions(), versions(**{f"datasets__nsd__{key}": more}))
    summaries = (CURVE | BOUND | PROBED | LANDSCAPE | SALIENCY) - {"fit_size_curve"}
    # Networks that pool subjects are tuned again, and every network is tried on the new one.
    pooled = {"tune_pooled", *TRANSFER} if key == "subjects" else set()
    assert different == stages(*TABLES, *summaries, *pooled, *TRANSFERRED, "plot_tuning")


def test_device_changes_nothing():
    assert changed(versions(), versions(device="cpu")) == set()


def test_seed_changes_everything_random():
    different = changed(versions(), versions(seed=1))
    assert {stage for stage, _ in different} == set(STAGES)


def test_another_data_set_changes_nothing_of_this_one():
    other = {"layout": "algonauts2023", "root": "elsewhere"}
    more = versions(datasets__other=other, tuning__dataset="nsd")
    assert changed(versions(), more) == set()
    assert more.of("prepare_images", "other") != more.of("prepare_images", "nsd")


def test_every_key_that_a_stage_reads_exists():
    config = Config.from_mapping(BASE).as_dict()
    known = Versions(config)
    for stage in STAGES:
        for method in METHODS:
            for key in known.reads(stage, "nsd", method):
                section, _, last = key.rpartition(".")
                where = look_up(config, section) if section else config
                assert last in where, (stage, key)


def test_transfer_to_a_data_set_depends_on_both():
    other = {"layout": "nod", "subjects": ["sub01"], "rois": ["V1"], "simulate": {}}
    pair = {"source": "nsd", "target": "nod", "rois": {"V1": ["V1v"]}}
    base = {"datasets__nod": other, "tuning__dataset": "nsd", "transfer__datasets": [pair]}
    before = versions(**base)
    inputs = before.inputs("transfer_dataset", "nod", "contrastive")
    assert inputs["tune_network"] == before.of("tune_network", "nsd", "contrastive")
    assert inputs["prepare_images"] == before.of("prepare_images", "nod")
    assert inputs["prepare_images"] != before.of("prepare_images", "nsd")
    for change in ({"datasets__nsd__simulate": {"n_images": 50}}, {"contrastive__epochs": 3}):
        after = versions(**base, **change)
        stage = ("transfer_dataset", "nod", "contrastive")
        assert before.of(*stage) != after.of(*stage)
        assert before.of("tabulate_transfer") != after.of("tabulate_transfer")
    other["top_vertices"] = 20
    after = versions(**base)
    assert before.of("transfer_dataset", "nod") != after.of("transfer_dataset", "nod")
    assert before.of("tabulate_transfer") != after.of("tabulate_transfer")
    assert before.of("encode_roi") == after.of("encode_roi")


def test_a_probe_changes_what_is_made_from_it():
    penalty = changed(versions(), versions(probes__scenes__penalty=2.0))
    assert penalty == stages(*BY_NETWORK, *PROBED, *LANDSCAPE, *SALIENCY)
    images = changed(versions(), versions(probes__scenes__n_images=200))
    assert images == penalty | stages("prepare_probe")


def test_another_probe_changes_summaries_of_all_probes_alone():
    before, after = versions(), versions(probes__more={"kind": "sun397", "root": "data"})
    assert changed(before, after) == stages(*PROBED, *LANDSCAPE)
    assert after.of("prepare_probe", probe="more") != after.of("prepare_probe", probe="scenes")
    assert after.inputs("probe_network", "nsd", "contrastive", "more") == {
        "prepare_probe": after.of("prepare_probe", probe="more"),
        "tune_network": after.of("tune_network", method="contrastive"),
    }
    assert set(after.inputs("embed_networks", "nsd")) == {
        f"probe_network/{probe}/{method}" for probe in ("more", "scenes") for method in METHODS
    }
    scopes = {scope[1:] for scope in after.scopes() if scope[0] == "probe_network"}
    assert scopes == {("nsd", method, probe) for method in METHODS for probe in ("more", "scenes")}


def test_saliency_follows_its_own_probe():
    other = {"kind": "scenes", "n_images": 100, "n_classes": 5}
    first = versions(probes__more=other)
    named = versions(probes__more=other, saliency__probe="more")
    assert changed(versions(), first) == stages(*PROBED, *LANDSCAPE)
    different = {stage for stage in STAGES if first.of(stage) != named.of(stage)}
    # By default these two are asked of the probe of saliency.
    assert different == {"map_saliency", *SALIENCY, "prepare_probe", "probe_network"}
    assert first.of("probe_network", probe="more") == named.of("probe_network")


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("landscape__methods", stages(*LANDSCAPE)),
        ("saliency__layer", stages("map_saliency", *SALIENCY)),
        ("saliency__n_permutations", stages(*SALIENCY)),
    ],
)
def test_settings_of_landscape_and_saliency_change_nothing_else(key, expected):
    value = {"landscape__methods": ["mds"], "saliency__layer": "features.9"}.get(key, 500)
    assert changed(versions(), versions(**{key: value})) == expected


def test_switching_landscape_and_saliency_on_changes_nothing_before_them():
    off = versions(landscape=None, saliency=None, probes={})
    before = set(STAGES) - {"prepare_probe", *BY_NETWORK, *PROBED, *LANDSCAPE, *SALIENCY}
    assert not {stage for stage, _ in changed(off, versions())} & before


def test_provenance_names_config_and_inputs():
    provenance = versions().provenance("encode_roi", method="contrastive", raw={"a": "b"})
    written = json.loads(provenance.to_json())
    assert set(written["inputs"]) == {"extract_features", "prepare_responses"}
    assert written["config"]["encoding.folds"] == 5
    assert written["raw"] == {"a": "b"}
    assert written["version"] == versions().of("encode_roi", method="contrastive")


def test_entity_path():
    path = entity_path(roi="FFA-1", subject="subj01", hemisphere="lh", method="contrastive")
    assert str(path) == "sub-subj01/hemi-lh/roi-FFA-1/method-contrastive"


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
