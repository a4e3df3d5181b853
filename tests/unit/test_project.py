from __future__ import annotations

import copy

import pytest

from cortune.config import Config
from cortune.errors import InputError
from cortune.project import Project, Unit, entities_of

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
    "more": {"kind": "sun397", "root": "data"},
}


def project(**changes):
    mapping = copy.deepcopy(BASE)
    for section, values in changes.items():
        mapping.setdefault(section, {}).update(values)
    return Project(Config.from_mapping(mapping))


UNIT = Unit("subj01", "lh", "V1v", 60)


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


def test_networks_belong_to_the_unit_the_pool_or_everyone():
    found = project()
    untuned = {found.network(unit, "untuned") for unit in found.units}
    assert len(untuned) == 1 and "pretrain_backbone" in untuned.pop()
    pooled = {found.network(unit, "pooled_mean") for unit in found.units}
    assert len(pooled) == 4 and all("sub-" not in path for path in pooled)
    for method in ("contrastive", "pooled_loso"):
        assert len({found.network(unit, method) for unit in found.units}) == 8
    assert found.network(UNIT, "contrastive").endswith(
        "sub-subj01/hemi-lh/roi-V1v/method-contrastive/network.safetensors"
    )


def test_features_of_the_untuned_network_serve_all_units_of_a_subject():
    found = project()
    assert len({found.features(unit, "untuned") for unit in found.units}) == 2
    assert len({found.features(unit, "pooled_mean") for unit in found.units}) == 8


def test_pools_leave_subjects_out():
    found = project()
    assert found.pooled_subjects("lh", "V1v") == ["subj01", "subj02"]
    assert found.pooled_subjects("lh", "V1v", without="subj01") == ["subj02"]


def test_leaving_out_the_only_subject_is_refused():
    one = {"nsd": {**BASE["datasets"]["nsd"], "subjects": ["subj01"]}}
    with pytest.raises(InputError, match="at least two subjects"):
        project(datasets=one).pooled_subjects("lh", "V1v", without="subj01")


def test_largest_roi_counts_rois_that_are_not_wanted():
    assert project().largest_roi == 90


def test_kinds_of_targets():
    found = project(encoding={"size_curve": {"sizes": [20], "rois": ["PPA"], "methods": None}})
    methods = {kind: {t.method for t in found.targets(kind)} for kind in ("history", "embeddings")}
    assert methods["history"] == {"regression", "contrastive", "pooled_mean", "pooled_loso"}
    assert methods["embeddings"] == {"contrastive", "pooled_mean", "pooled_loso"}
    assert {t.roi for t in found.targets("size_curve")} == {"PPA"}
    assert len(found.targets("encoding")) == 5 * 8
    assert project().targets("size_curve") == []


def test_tables_follow_the_methods():
    names = {path.rsplit("/", 1)[1] for path in project().tables()}
    assert "information.csv" in names and "size_curve.csv" not in names
    alone = {path.rsplit("/", 1)[1] for path in project(tuning={"methods": ["untuned"]}).tables()}
    assert "information.csv" not in alone


def test_every_network_is_named_once():
    found = project()
    networks = found.networks
    assert len(networks) == len({network.model for network in networks}) == 1 + 3 * 8 + 4
    assert len({network.path for network in networks}) == len(networks)
    names = [network.model for network in networks]
    assert names[0] == "untuned"
    assert {"contrastive subj01 lh V1v", "pooled_mean lh V1v", "pooled_loso subj02 rh PPA"} <= {
        *names
    }
    by_owner = {(n.owner, n.method) for n in networks}
    assert by_owner == {("shared", "untuned"), ("shared", "pooled_mean")} | {
        (f"sub-{subject}", method)
        for subject in ("subj01", "subj02")
        for method in ("regression", "contrastive", "pooled_loso")
    }
    members = found.networks_of("shared", "pooled_mean")
    assert [(n.hemisphere, n.roi) for n in members] == [
        (hemisphere, roi) for hemisphere in ("lh", "rh") for roi in ("V1v", "PPA")
    ]


def test_probes_and_saliency_of_a_network_lie_in_the_folder_of_its_job():
    found = project(probes=PROBES, saliency={})
    for probe in PROBES:
        for network in found.networks:
            folder = found.probe_folder(network.owner, network.method, probe)
            assert folder.as_posix() in found.probe_folders()
            assert found.probed(network, probe).startswith(f"{folder.as_posix()}/")
    for network in found.networks:
        folder = found.saliency_folder(network.owner, network.method)
        assert found.saliency(network).startswith(f"{folder.as_posix()}/")
    assert len(found.probe_folders()) == 2 * len(found.saliency_folders()) == 2 * 8
    probed, saliency = found.all_probed(), found.all_saliency()
    assert len(set(probed)) == len(probed) == 2 * len(set(saliency)) == 2 * len(found.networks)
    one = next(n for n in found.networks if n.model == "contrastive subj01 lh V1v")
    assert found.probed(one, "scenes").endswith(
        "/probe-scenes/sub-subj01/method-contrastive/hemi-lh/roi-V1v/probe.h5"
    )
    assert found.probed(found.networks[0], "more").endswith(
        "/probe-more/shared/method-untuned/probe.h5"
    )
    assert found.probe_images("images.npy", "more").endswith("/probe-more/images.npy")
    # Saliency has the first probe, unless it names another.
    assert found.probe_images("images.npy") == found.probe_images("images.npy", "scenes")
    folders = [found.probe_folder("shared", "untuned", probe) for probe in (None, "scenes")]
    assert folders[0] == folders[1]


def test_a_new_subject_leaves_the_probes_of_others_where_they_are():
    nsd = {**BASE["datasets"]["nsd"], "subjects": ["subj01", "subj02", "subj03"]}
    before = project(probes=PROBES)
    after = project(probes=PROBES, datasets={"nsd": nsd})
    kept = {path for path in before.probe_folders() if "pooled" not in path}
    assert kept < set(after.probe_folders())


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
    found = project(**sections)
    names = {path.rsplit("/", 1)[1] for path in [*found.tables(), *found.figures()]}
    assert made <= names
    kinds = {"landscape": "landscape.csv", "saliency": "lateralization.csv"}
    for section, table in kinds.items():
        assert (table in names) == ({"probes", section} <= set(sections))
    assert ("probes.csv" in names) == ("probes" in sections)


def test_versions_of_every_probe_are_listed():
    versions = project(probes=PROBES).current_versions()
    for probe in PROBES:
        assert f"probe_network/nsd/contrastive/{probe}" in versions
        assert f"prepare_probe/nsd/untuned/{probe}" in versions
    assert "tabulate_probes" in versions


def test_versions_by_stage_are_short_where_they_can_be():
    versions = project().current_versions()
    assert "prepare_images" in versions
    assert "encode_roi/nsd/contrastive" in versions and "encode_roi" not in versions


def test_unknown_roi_is_skipped_and_no_roi_is_refused():
    nsd = {**BASE["datasets"]["nsd"], "rois": ["V1v", "V99"]}
    found = project(datasets={"nsd": nsd})
    assert {u.roi for u in found.units} == {"V1v"}
    assert {s.reason for s in found.skipped} == {"no mask of this subject names the ROI"}
    with pytest.raises(InputError, match="no ROI with enough voxels"):
        _ = project(datasets={"nsd": {**nsd, "rois": ["V99"]}}).units


def test_entities_of():
    assert entities_of("sub-subj01/hemi-lh/roi-FFA-1") == {
        "sub": "subj01",
        "hemi": "lh",
        "roi": "FFA-1",
    }


# ---- transfer

NOD = {"layout": "nod", "subjects": ["sub01", "sub02"], "rois": ["V1", "V4"], "simulate": {}}


def transferring(**transfer):
    mapping = copy.deepcopy(BASE)
    mapping["datasets"]["nod"] = NOD
    mapping["tuning"]["dataset"] = "nsd"
    mapping["transfer"] = transfer
    return Project(Config.from_mapping(mapping))


def test_every_ordered_pair_of_subjects_shares_a_file_per_source():
    found = transferring(subjects=True).transfers()
    # 8 units; pooled_mean has seen every subject, pooled_loso is read off its own encodings.
    assert {n.method for n in found} == {"regression", "contrastive"}
    assert len(found) == 16 and all(n.target is None for n in found)
    assert transferring(subjects=True).other_subjects(UNIT) == ["subj02"]
    only = transferring(subjects=True, rois=["V1v"], methods=["contrastive"]).transfers()
    assert {(n.roi, n.method) for n in only} == {("V1v", "contrastive")} and len(only) == 4


def test_networks_go_to_the_rois_of_another_data_set():
    pair = {"source": "nsd", "target": "nod", "rois": {"V1": ["V1v"], "V4": ["V1v"]}}
    known = transferring(datasets=[pair])
    found = known.transfers()
    by_method = {m: [n for n in found if n.method == m] for m in {n.method for n in found}}
    assert len(by_method["untuned"]) == 2, "one per hemisphere"
    assert len(by_method["contrastive"]) == len(by_method["regression"]) == 4
    assert len(by_method["pooled_mean"]) == 2, "one network for all subjects"
    assert "pooled_loso" not in by_method
    assert len({n.path for n in found}) == len(found)
    targets = known.transfer_targets("nod", "lh", "V1v")
    assert [(u.subject, u.roi) for u in targets] == [
        ("sub01", "V1"),
        ("sub01", "V4"),
        ("sub02", "V1"),
        ("sub02", "V4"),
    ]
    assert known.transfer_targets("nod", "lh", "PPA") == []
    assert [u.n_voxels for u in targets] == [50, 50, 50, 50]


def test_without_transfer_there_is_no_table_of_it():
    assert not [path for path in project().tables() if "transfer" in path]
    pair = {"source": "nsd", "target": "nod", "rois": {"V1": ["V1v"]}}
    tables = transferring(datasets=[pair]).tables()
    assert len([path for path in tables if "transfer" in path]) == 2


def test_records_of_what_subjects_share_are_waited_for():
    known = transferring()
    assert len(known.simulated("nsd", "subj01")) == 1
    assert [p.rsplit("/", 1)[1] for p in known.simulated("nod", "sub01")] == [
        "nod-sub01.json",
        "nod-shared.json",
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
        transferring(datasets=[pair]).transfers()
