from __future__ import annotations

import copy

import pytest

from cortune.address import ALL, Address
from cortune.config import Config
from cortune.errors import InputError
from cortune.project import Project
from cortune.stages import STAGES
from cortune.stages.encoding import curves, encoded
from cortune.stages.information import embedding
from cortune.stages.networks import tuned
from cortune.stages.prepare import simulated
from cortune.stages.transfer import others, targets

BASE = {
    "datasets": {
        "nsd": {
            "layout": "algonauts2023",
            "subjects": ["subj01", "subj02"],
            "rois": ["V1v", "PPA", "FBA-1", "mTL-faces"],
            "simulate": {
                "n_images": 50,
                "n_shared": 10,
                "vertices": {"V1v": 60, "hV4": 90, "PPA": 40, "FBA-1": 6},
            },
        }
    },
    "backbone": {"name": "alexnet_small", "weights": "pretrain", "input_size": 64},
    "tuning": {"methods": ["untuned", "regression", "contrastive", "pooled_mean", "pooled_loso"]},
}
PROBES = {
    "scenes": {"kind": "scenes", "n_images": 100, "n_classes": 5},
    "more": {"kind": "scenes", "n_images": 60, "n_classes": 3},
}


def project(**changes):
    mapping = copy.deepcopy(BASE)
    for section, values in changes.items():
        mapping.setdefault(section, {}).update(values)
    return Project(Config.from_mapping(mapping))


UNIT = Address("nsd", "subj01", "lh", "V1v", "contrastive", "0")


def test_units_and_what_is_skipped():
    found = project()
    assert [(u.subject, u.hemisphere, u.roi) for u in found.units][:3] == [
        ("subj01", "lh", "V1v"),
        ("subj01", "lh", "PPA"),
        ("subj01", "rh", "V1v"),
    ]
    assert len(found.units) == 8
    reasons = {unit.roi: unit.reason for unit in found.skipped}
    assert "6 voxels" in reasons["FBA-1"] and "empty" in reasons["mTL-faces"]
    assert len(found.skipped) == 8


def network(found, address):
    """Return the path of the network of an address."""
    return found.path(found.network_stage(address), "network", found.network(address))


def units_of(found, method):
    return found.addresses([method])


def test_networks_belong_to_the_unit_the_pool_or_everyone():
    found = project()
    untuned = {network(found, unit) for unit in units_of(found, "untuned")}
    assert len(untuned) == 1 and "pretrain_backbone" in untuned.pop()
    pooled = {network(found, unit) for unit in units_of(found, "pooled_mean")}
    assert len(pooled) == 4 and all("/sub-all/" in path for path in pooled)
    for method in ("contrastive", "pooled_loso"):
        assert len({network(found, unit) for unit in units_of(found, method)}) == 8
    assert network(found, UNIT).endswith(
        "ds-nsd/sub-subj01/hemi-lh/roi-V1v/method-contrastive/rep-0/network.safetensors"
    )
    loso = UNIT.but(method="pooled_loso")
    assert "/sub-not-subj01/" in network(found, loso)
    assert found.network(found.network(loso)) == found.network(loso), "not left out twice"


def test_features_of_the_untuned_network_serve_all_units_of_a_subject():
    found = project()

    def features(method):
        addresses = units_of(found, method)
        return {found.path("extract_features", "grams", address) for address in addresses}

    assert len(features("untuned")) == 2
    # Images differ by subject, whichever network runs over them.
    assert len(features("pooled_mean")) == len(features("pooled_loso")) == 8


def test_pools_leave_subjects_out():
    found = project()

    def pool(subject, method):
        address = UNIT.but(subject=subject, method=method)
        return [each.subject for each in found.pool(address)]

    assert pool(ALL, "pooled_mean") == ["subj01", "subj02"]
    assert pool("not-subj01", "pooled_loso") == ["subj02"]


def test_leaving_out_the_only_subject_is_refused():
    one = {"nsd": {**BASE["datasets"]["nsd"], "subjects": ["subj01"]}}
    with pytest.raises(InputError, match="at least two subjects"):
        project(datasets=one).pool(UNIT.but(subject="not-subj01", method="pooled_loso"))


def test_largest_roi_counts_rois_that_are_not_wanted():
    found = project()
    assert found.largest_roi == 90
    facts = found.facts("tune_pooled", UNIT.but(subject=ALL, method="pooled_mean"))
    assert facts["largest"] is None
    widest = found.facts("tune_pooled", UNIT.but(subject=ALL, method="pooled_max"))
    assert widest["largest"] == 90
    assert facts["units"] == [["nsd", s, "lh", "V1v"] for s in ("subj01", "subj02")]


def test_kinds_of_networks_and_units():
    found = project(encoding={"size_curve": {"sizes": [20], "rois": ["PPA"], "methods": None}})
    nowhere = Address()
    assert {a.method for a in tuned(found, nowhere)} == {
        "regression", "contrastive", "pooled_mean", "pooled_loso",
    }  # fmt: skip
    # Leaving one out, a network has no subject of its own whose test images it embeds.
    assert {a.method for a in embedding(found, nowhere)} == {"contrastive", "pooled_mean"}
    assert {a.roi for a in curves(found, nowhere)} == {"PPA"}
    assert len(list(encoded(found, nowhere))) == 5 * 8
    assert curves(project(), nowhere) == []


def shown(found):
    return {path.rsplit("/", 1)[1] for path in found.shown}


def test_tables_follow_the_methods():
    names = shown(project())
    assert "information.csv" in names and "size_curve.csv" not in names
    assert "information.csv" not in shown(project(tuning={"methods": ["untuned"]}))


def test_every_network_is_named_once():
    found = project()
    networks = found.networks(found.config.tuning.methods)
    assert len(networks) == len({each.model for each in networks}) == 1 + 3 * 8 + 4
    assert len({network(found, each) for each in networks}) == len(networks)
    names = [each.model for each in networks]
    assert names[0] == "untuned"
    assert {"contrastive subj01 lh V1v", "pooled_mean lh V1v", "pooled_loso subj02 rh PPA"} <= {
        *names
    }
    jobs = {(each.subject, each.method) for each in found.probed()}
    assert jobs == {(ALL, "untuned"), (ALL, "pooled_mean")} | {
        (subject, method)
        for subject in ("subj01", "subj02")
        for method in ("regression", "contrastive")
    } | {(f"not-{subject}", "pooled_loso") for subject in ("subj01", "subj02")}
    (pooled,) = found.probed(["pooled_mean"])
    assert [(n.hemisphere, n.roi) for n in found.together(pooled)] == [
        (hemisphere, roi) for hemisphere in ("lh", "rh") for roi in ("V1v", "PPA")
    ]


def test_every_network_is_looked_into_by_one_job():
    found = project(probes=PROBES, saliency={})
    networks = found.networks(found.config.tuning.methods)
    together = [network for job in found.probed() for network in found.together(job)]
    assert sorted(together, key=str) == sorted(networks, key=str)
    jobs = found.jobs
    assert {a.probe for a in jobs["probe_network"]} == set(PROBES)
    assert len(jobs["probe_network"]) == 2 * len(jobs["map_saliency"]) == 2 * len(found.probed())
    one = UNIT.but(hemisphere=ALL, roi=ALL, probe="scenes")
    assert found.path("probe_network", "folder", one).endswith(
        "/probe-scenes/ds-nsd/sub-subj01/hemi-all/roi-all/method-contrastive/rep-0"
    )
    # Saliency has the first probe, unless it names another.
    (folder,) = found.inputs("map_saliency", one)["probes"]
    assert "/probe-scenes/" in folder
    named = project(probes=PROBES, saliency={"probe": "more"})
    (folder,) = named.inputs("map_saliency", one)["probes"]
    assert "/probe-more/" in folder


def test_a_new_subject_leaves_the_probes_of_others_where_they_are():
    nsd = {**BASE["datasets"]["nsd"], "subjects": ["subj01", "subj02", "subj03"]}
    scenes = {"scenes": PROBES["scenes"]}

    def folders(found):
        return {
            found.path("probe_network", "folder", address)
            for address in found.jobs["probe_network"]
            if "pooled" not in address.method
        }

    before, after = project(probes=scenes), project(probes=scenes, datasets={"nsd": nsd})
    assert folders(before) < folders(after)


@pytest.mark.parametrize(
    ("sections", "made"),
    [
        ({}, set()),
        ({"landscape": {}, "saliency": {}}, set()),
        ({"probes": PROBES}, {"probes.csv", "probe_accuracy.png"}),
        ({"probes": PROBES, "landscape": {}}, {"landscape.csv", "landscape_inpca.png"}),
        ({"probes": PROBES, "saliency": {}}, {"lateralization.csv", "laterality.png"}),
    ],
)
def test_landscape_and_saliency_need_a_section_and_a_probe(sections, made):
    names = shown(project(**sections))
    assert made <= names
    kinds = {"landscape": "landscape.csv", "saliency": "lateralization.csv"}
    for section, table in kinds.items():
        assert (table in names) == ({"probes", section} <= set(sections))
    assert ("probes.csv" in names) == ("probes" in sections)


def test_all_versions_of_every_stage_are_listed():
    found = project(probes=PROBES)
    versions = found.upstream_versions
    assert set(versions) == set(found.jobs) - {"publish_results"}
    assert len(versions["prepare_probe"]) == 2 and len(versions["tabulate_probes"]) == 1
    for name, addresses in found.jobs.items():
        if name in versions:
            assert set(versions[name]) == {found.version(name, a) for a in addresses}
    assert found.facts("publish_results", Address()) == versions


def test_jobs_are_those_that_a_complete_run_needs_and_no_others():
    found = project(probes=PROBES, saliency={}, landscape={})
    made = {
        found.path(name, output, address)
        for name, addresses in found.jobs.items()
        for address in addresses
        for output in STAGES[name].outputs
    }
    read = {
        path
        for name, addresses in found.jobs.items()
        for address in addresses
        for paths in found.inputs(name, address).values()
        for path in paths
    }
    assert read <= made and set(found.shown) <= read
    last = {found.path("publish_results", name, Address()) for name in ("manifest", "page")}
    for name, addresses in found.jobs.items():
        for address in addresses:
            paths = {found.path(name, output, address) for output in STAGES[name].outputs}
            assert paths & (read | last), (name, address)


def test_what_was_seen_is_not_looked_up_again():
    first = project(probes=PROBES)
    expected = first.upstream_versions
    assert first.seen
    second = Project(first.config, seen=copy.deepcopy(first.seen))
    second.look = lambda key, find: second.seen[key]
    assert second.upstream_versions == expected


def test_units_that_differ_in_what_is_no_entity_of_a_stage_share_its_file():
    found = project()
    paths = {found.path("split_images", "split", UNIT.but(roi=roi)) for roi in ("V1v", "PPA")}
    assert len(paths) == 1


def test_unknown_roi_is_skipped_and_no_roi_is_refused():
    nsd = {**BASE["datasets"]["nsd"], "rois": ["V1v", "V99"]}
    found = project(datasets={"nsd": nsd})
    assert {u.roi for u in found.units} == {"V1v"}
    assert {s.reason for s in found.skipped} == {"no mask of this subject names the ROI"}
    facts = found.facts("tabulate_encoding", Address())
    assert [row for row in facts if "method" not in row] == [vars(each) for each in found.skipped]
    with pytest.raises(InputError, match="no ROI with enough voxels"):
        _ = project(datasets={"nsd": {**nsd, "rois": ["V99"]}}).units


# ---- transfer

NOD = {"layout": "nod", "subjects": ["sub01", "sub02"], "rois": ["V1", "V4"], "simulate": {}}


def transferring(**transfer):
    mapping = copy.deepcopy(BASE)
    mapping["datasets"]["nod"] = NOD
    mapping["tuning"]["dataset"] = "nsd"
    mapping["transfer"] = transfer
    return Project(Config.from_mapping(mapping))


def test_every_ordered_pair_of_subjects_shares_a_file_per_source():
    known = transferring(subjects=True)
    found = known.subject_transfers()
    # 8 units; pooled_mean has seen every subject, pooled_loso is read off its own encodings.
    assert {a.method for a in found} == {"regression", "contrastive"}
    assert len(found) == len(known.jobs["transfer_subject"]) == 16
    assert [each.subject for each in others(known, UNIT)] == ["subj02"]
    assert known.facts("transfer_subject", UNIT) == {"subj02": ["V1v"]}
    only = transferring(subjects=True, rois=["V1v"], methods=["contrastive"]).subject_transfers()
    assert {(a.roi, a.method) for a in only} == {("V1v", "contrastive")} and len(only) == 4


def test_networks_go_to_the_rois_of_another_data_set():
    pair = {"source": "nsd", "target": "nod", "rois": {"V1": ["V1v"], "V4": ["V1v"]}}
    known = transferring(datasets=[pair], subjects=False)
    found = known.dataset_transfers()
    by_method = {m: [a for a in found if a.method == m] for m in {a.method for a in found}}
    assert len(by_method["untuned"]) == 2, "one per hemisphere"
    assert len(by_method["contrastive"]) == len(by_method["regression"]) == 4
    assert len(by_method["pooled_mean"]) == 2, "one network for all subjects"
    assert "pooled_loso" not in by_method
    paths = {known.path("transfer_dataset", "encodings", a) for a in found}
    assert len(paths) == len(found) == len(known.jobs["transfer_dataset"])
    units = known.target_units("nod", "lh", "V1v")
    assert [(u.subject, u.roi) for u in units] == [
        ("sub01", "V1"),
        ("sub01", "V4"),
        ("sub02", "V1"),
        ("sub02", "V4"),
    ]
    assert [u.n_voxels for u in units] == [50, 50, 50, 50]
    assert known.target_units("nod", "lh", "PPA") == []
    address = UNIT.but(target="nod")
    assert targets(known, address) == [
        Address("nod", subject, "lh") for subject in ("sub01", "sub02")
    ]
    assert known.facts("transfer_dataset", address) == {
        "sub01": ["V1", "V4"],
        "sub02": ["V1", "V4"],
    }
    untuned = by_method["untuned"][0]
    assert known.facts("transfer_dataset", untuned) == known.facts("transfer_dataset", address)


def test_without_transfer_there_is_no_table_of_it():
    assert not [name for name in shown(transferring(subjects=False)) if "transfer" in name]
    pair = {"source": "nsd", "target": "nod", "rois": {"V1": ["V1v"]}}
    tables = {n for n in shown(transferring(datasets=[pair])) if n.endswith(".csv")}
    assert len([name for name in tables if "transfer" in name]) == 2


def test_records_of_what_subjects_share_are_waited_for():
    known = transferring()
    assert list(simulated(known, Address("nsd", "subj01"))) == [Address("nsd", "subj01")]
    subjects = [each.subject for each in simulated(known, Address("nod", "sub01"))]
    assert subjects == ["sub01", "shared"]
    paths = known.inputs("prepare_images", Address("nod", "sub01"))["simulated"]
    assert [path.split("/")[-2:] for path in paths] == [
        ["sub-sub01", "nod.json"],
        ["sub-shared", "nod.json"],
    ]


@pytest.mark.parametrize(
    ("rois", "message"),
    [
        ({"V9": ["V1v"]}, r"transfer\.datasets\.0\.rois: found 'V9'.*ROIs of nod"),
        ({"V1": ["V1"]}, r"transfer\.datasets\.0\.rois: found 'V1'.*analysed of nsd.*V1v"),
    ],
)
def test_rois_that_are_nowhere_are_not_passed_over(rois, message):
    pair = {"source": "nsd", "target": "nod", "rois": rois}
    with pytest.raises(InputError, match=message):
        transferring(datasets=[pair]).dataset_transfers()
