"""docs/reruns.md, and what it says against the versions of jobs (test_versions.py)."""

from __future__ import annotations

from pathlib import Path

import pytest

from cortune.config import keys
from cortune.reruns import document, readers, reruns
from cortune.stages import RUNTIME, STAGES

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "reruns.md"


def test_the_document_is_up_to_date():
    assert DOCUMENT.read_text() == document(), "python -m cortune.reruns > docs/reruns.md"


def test_every_key_of_the_schema_has_a_row():
    text = document()
    assert len(set(keys())) == len(list(keys())) > 100
    assert [key for key in keys() if f"`{key}`" not in text] == []


def test_every_declared_key_is_one_of_the_schema_or_a_section_of_it():
    known = set(keys())
    for stage in STAGES.values():
        for declared in {*stage.reads, *stage.places} - {"*", "{recipe}"}:
            key = declared.replace("{dataset}", "<name>").replace("{probe}", "<name>")
            assert any(each == key or each.startswith(f"{key}.") for each in known), declared


def test_a_rule_runs_again_only_after_what_it_reads():
    assert "tune_network" not in reruns("encoding.folds")
    assert {"encode_roi", "tabulate_encoding"} <= set(reruns("encoding.folds"))
    assert reruns("landscape.n_permutations") == ["embed_networks", "plot_landscape"]
    assert "pretrain_backbone" not in reruns("contrastive.epochs")
    assert readers("contrastive.epochs") == {"tune_network", "tune_pooled"}
    assert set(reruns("seed")) >= {name for name in STAGES if "seed" in STAGES[name].reads}


@pytest.mark.parametrize("key", RUNTIME)
def test_how_jobs_run_is_covered_by_no_version(key):
    assert key in set(keys())
    assert readers(key) == set() and reruns(key) == []


PREPARED = {"prepare_images", "prepare_responses", "prepare_whole", "relate_repeats"}


@pytest.mark.parametrize(
    ("key", "stages"),
    [
        ("datasets.<name>.root", PREPARED),
        ("datasets.<name>.coco_of", PREPARED),
        ("datasets.<name>.simulate.images", {"simulate_dataset"}),
        ("probes.<name>.root", {"prepare_probe"}),
        ("backbone.weights", {"prepare_backbone"}),
    ],
)
def test_where_raw_files_lie_runs_nothing_again(key, stages):
    assert readers(key, places=True) == stages and reruns(key) == []


def test_stages_are_named_in_the_order_in_which_they_run():
    order = list(STAGES)
    for key in keys():
        again = reruns(key)
        assert again == sorted(again, key=order.index) and order[-1] not in again
