"""The splits that users of NSD report on, and where they cannot be."""

from __future__ import annotations

import sys
from pathlib import Path

import algonauts_tree
import pytest
from example import changed
from fake import CONFIG, snakemake_of

from cortune.address import Address
from cortune.artifacts import read_provenance
from cortune.config import Config, ConfigError
from cortune.data.identity import community_ids
from cortune.data.splits import read_split
from cortune.errors import InputError
from cortune.jobs import Job
from cortune.project import Project

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
SUBJECT = Address("nsd", "subj01")


def test_the_sets_are_nested():
    assert len(community_ids("shared1000")) == 1000
    assert len(community_ids("shared515")) == 515
    assert community_ids("shared515") < community_ids("shared1000")


def test_the_sets_follow_from_the_design_and_the_sessions_released(shared):
    from nsd_shared import shared_images

    design = shared / "real" / "nsd" / "nsd_expdesign.mat"
    ids, seen = shared_images(design)
    assert set(ids.tolist()) == community_ids("shared1000")
    thrice = (seen >= 3).all(axis=0)
    assert set(ids[thrice].tolist()) == community_ids("shared515") and thrice.sum() == 515
    assert (seen > 0).sum(axis=1).tolist() == [1000, 1000, 930, 907, 1000, 930, 1000, 907]
    assert (seen >= 3).sum(axis=1).tolist() == [1000, 1000, 614, 515, 1000, 614, 1000, 515]
    assert (seen > 0).all(axis=0).sum() == 907
    # What the Algonauts challenge has responses to: all but the last three sessions.
    _, trained = shared_images(design, left_out=3)
    assert (trained > 0).sum(axis=1).tolist() == [982, 982, 894, 872, 982, 894, 982, 872]
    everyone = (trained > 0).all(axis=0)
    assert everyone.sum() == 872 and (everyone & thrice).sum() == 505


def split_of_real_data(tmp_path, ids, **split):
    """Run the job that splits a real subject's images; return its table and provenance."""
    tree = algonauts_tree.write_tree(tmp_path / "data", n_images=len(ids), nsd_ids=ids)
    given = {"layout": "algonauts2023", "root": str(tree.root), "subjects": ["subj01"]}
    mapping = changed(CONFIG, datasets={"nsd": given}, tuning={"methods": ["untuned"]}, split=split)
    project = Project(Config.from_mapping(mapping), str(tmp_path / "results"))
    for name in ("prepare_images", "split_images"):
        job = Job(snakemake_of(project, name, SUBJECT))
        job.stage.run(job)
    path = project.path("split_images", "split", SUBJECT)
    return read_split(path), read_provenance(path)


def test_the_test_set_is_what_has_responses(tmp_path):
    chosen = sorted(community_ids("shared515"))[:12]
    others = sorted(community_ids("shared1000") - community_ids("shared515"))[:8]
    free = [i for i in range(100) if i not in community_ids("shared1000")]
    shares = {"tune": 0.6, "validation": 0.2, "test": 0.2}
    table, made = split_of_real_data(
        tmp_path, sorted([*chosen, *others, *free]), by="shared515", **shares
    )
    assert {k for k, v in table.items() if v == "test"} == {f"nsd:{i:05d}" for i in chosen}
    assert made["config"]["split"]["by"] == "shared515"
    assert made["notes"]["images"]["test"] == 12
    assert {table[f"nsd:{i:05d}"] for i in free} == {"tune", "validation"}


def test_a_table_names_images_by_any_id(tmp_path):
    ids = list(range(30))
    sets = tmp_path / "sets.csv"
    sets.write_text("identity,set\nnsd:00003,test\nnsd:00004,fit\nnsd:00005,test\n")
    shares = {"tune": 0.5, "validation": 0.25, "test": 0.25}
    table, _ = split_of_real_data(tmp_path, ids, by="file", file=str(sets), **shares)
    assert [table[f"nsd:{i:05d}"] for i in (3, 4, 5)] == ["test", "fit", "test"]
    assert list(table.values()).count("test") == 2


def test_everything_else_may_go_unused_where_nothing_is_tuned(tmp_path):
    ids = sorted([*sorted(community_ids("shared1000"))[:9], 1, 2, 3])
    shares = {"tune": 0.0, "validation": 0.0, "test": 1.0}
    _, made = split_of_real_data(tmp_path, ids, by="shared1000", **shares)
    assert made["notes"]["images"] == {"test": 9, "unused": 3}


def test_a_data_set_without_these_images_is_refused(tmp_path):
    free = [i for i in range(60) if i not in community_ids("shared1000")]
    with pytest.raises(InputError, match=r"split\.by: found shared1000 with nsd, subj01 of which"):
        split_of_real_data(tmp_path, free, by="shared1000", tune=0.5, validation=0.1, test=0.4)
    nod = {"layout": "nod", "root": "data", "subjects": ["sub01"]}
    with pytest.raises(ConfigError, match=r"split\.by: found shared515 with nod of layout nod"):
        Config.from_mapping({"datasets": {"nod": nod}, "split": {"by": "shared515"}})


def test_simulated_subjects_have_shared_images_of_their_own():
    simulate = {"n_images": 100, "n_shared": 30, "image_size": 32, "n_classes": 5}
    mapping = changed(CONFIG, datasets__nsd__simulate=simulate, split__by="shared1000")
    project = Project(Config.from_mapping(mapping))
    facts = project.facts("split_images", SUBJECT)
    assert facts["tuned"] and len(set(facts["shared"])) == 30
    assert facts == project.facts("split_images", SUBJECT.but(subject="subj02"))


def test_another_split_is_another_version():
    versions = {
        Project(Config.from_mapping(changed(CONFIG, split__by=by))).version("split_images", SUBJECT)
        for by in ("hash", "shared1000", "shared515")
    }
    assert len(versions) == 3
