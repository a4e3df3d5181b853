from __future__ import annotations

from pathlib import Path

import pytest

from cortune.config import Config
from cortune.reruns import EXAMPLE, changed, document, keys, rules_of

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "reruns.md"


def test_the_document_is_up_to_date():
    assert DOCUMENT.read_text() == document(), "python -m cortune.reruns > docs/reruns.md"


def test_every_key_of_the_schema_has_a_row():
    text = DOCUMENT.read_text()
    assert len(set(keys())) == len(list(keys())) > 100
    assert [key for key in keys() if f"`{key}`" not in text] == []


@pytest.mark.parametrize("key", list(keys()))
def test_a_changed_key_is_another_valid_configuration(key):
    pair = changed(key)
    if pair is None:
        return
    before, after = (Config.from_mapping(each).as_dict() for each in pair)
    assert before != after


def test_a_rule_runs_again_only_after_what_it_reads():
    def rules(key):
        return rules_of(*changed(key))

    assert rules("features.batch_size") == set()
    assert "tune_network" not in rules("encoding.folds")
    assert {"encode_roi", "tabulate_encoding"} <= rules("encoding.folds")
    assert rules("landscape.n_permutations") == {"embed_networks", "plot_landscape"}
    assert "pretrain_backbone" not in rules("contrastive.epochs")
    assert rules_of(EXAMPLE, EXAMPLE) == set()
