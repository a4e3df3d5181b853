from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortune.address import ALL, ENTITIES, OF_NETWORK, UNIT, Address
from cortune.stages import STAGES

names = st.from_regex(r"[A-Za-z][A-Za-z0-9_]{0,8}", fullmatch=True)
VALUES = {
    "target": names,
    "probe": names,
    "dataset": names,
    "subject": st.from_regex(r"(not-)?[A-Za-z0-9]{1,8}", fullmatch=True),
    "hemisphere": st.sampled_from(["lh", "rh", ALL]),
    "roi": st.from_regex(r"[A-Za-z0-9-]{1,12}", fullmatch=True),
    "method": st.from_regex(r"[a-z_]{1,16}", fullmatch=True),
    "replicate": st.integers(0, 99).map(str),
}
addresses = st.builds(Address, **VALUES)
entities = st.sets(st.sampled_from(list(ENTITIES))).map(tuple)

CONTRASTIVE = Address("nsd", "subj01", "lh", "V1v", "contrastive", "0")
POOLED = Address("nsd", ALL, "lh", "V1v", "pooled_mean", "0")
LOSO = Address("nsd", "not-subj02", "rh", "V1v", "pooled_loso", "0")
UNTUNED = Address("nsd", ALL, ALL, ALL, "untuned", "0")


@given(addresses, entities)
def test_a_path_says_the_entities_that_it_was_made_of_and_no_others(address, entities):
    path = f"results/encode_roi/1-0a1b2c3d/{address.path(entities)}/encoding.h5"
    assert Address.parse(path) == address.only(*entities)
    assert Address.parse(path.replace("/", "\\")) == address.only(*entities)


@given(addresses)
def test_a_path_that_is_parsed_and_written_again_is_the_same(address):
    for stage in STAGES.values():
        path = address.path(stage.entities)
        assert Address.parse(path).path(stage.entities) == path


@given(addresses)
def test_wildcards_are_the_address(address):
    assert Address.of({**vars(address), "version": "1-0a1b2c3d", "layout": "nod"}) == address


@given(addresses, addresses)
def test_two_networks_have_two_paths(one, other):
    assert (one.path(OF_NETWORK) == other.path(OF_NETWORK)) == (
        one.only(*OF_NETWORK) == other.only(*OF_NETWORK)
    )


def test_entities_lie_in_one_order_whatever_order_they_are_asked_for():
    path = "ds-nsd/sub-subj01/hemi-lh/roi-V1v/method-contrastive/rep-0"
    assert CONTRASTIVE.path(OF_NETWORK) == CONTRASTIVE.path(OF_NETWORK[::-1]) == path
    moved = CONTRASTIVE.but(target="nod", probe="scenes")
    assert moved.path(tuple(vars(moved))) == f"to-nod/probe-scenes/{path}"


def test_an_roi_with_a_dash_and_a_file_that_starts_as_an_entity_are_read_right():
    found = Address.parse("results/x/1-0a1b2c3d/sub-not-subj02/roi-FFA-1/hemi.h5")
    assert (found.subject, found.roi, found.hemisphere) == ("not-subj02", "FFA-1", "")
    assert found.without == "subj02"


@pytest.mark.parametrize(
    ("address", "path"),
    [
        (POOLED, "ds-nsd/sub-all/hemi-lh/roi-V1v/method-pooled_mean/rep-0"),
        (LOSO, "ds-nsd/sub-not-subj02/hemi-rh/roi-V1v/method-pooled_loso/rep-0"),
        (UNTUNED, "ds-nsd/sub-all/hemi-all/roi-all/method-untuned/rep-0"),
    ],
)
def test_what_a_network_does_not_tell_apart_is_all(address, path):
    assert address.path(OF_NETWORK) == path


@pytest.mark.parametrize(
    ("address", "seeded"),
    [
        # As they were before addresses had data sets and replicates: the streams of random
        # numbers are those of earlier releases.
        (CONTRASTIVE, "sub-subj01/hemi-lh/roi-V1v/method-contrastive"),
        (POOLED, "hemi-lh/roi-V1v/method-pooled_mean"),
        (LOSO, "sub-subj02/hemi-rh/roi-V1v/method-pooled_loso"),
        (UNTUNED, "method-untuned"),
        (CONTRASTIVE.but(dataset="nod"), "sub-subj01/hemi-lh/roi-V1v/method-contrastive"),
        (CONTRASTIVE.but(replicate="2"), "sub-subj01/hemi-lh/roi-V1v/method-contrastive"),
    ],
)
def test_random_draws_are_named_as_ever(address, seeded):
    assert address.seeded == seeded


@pytest.mark.parametrize(
    ("address", "subject", "hemisphere", "roi"),
    [
        (CONTRASTIVE, "subj01", "lh", "V1v"),
        (POOLED, "", "lh", "V1v"),
        (LOSO, "subj02", "rh", "V1v"),
        (UNTUNED, "", "", ""),
    ],
)
def test_labels_are_empty_where_a_network_serves_all(address, subject, hemisphere, roi):
    label = address.label
    assert tuple(label) == OF_NETWORK
    assert [label[name] for name in UNIT] == ["nsd", subject, hemisphere, roi]
    assert label["method"] == address.method and label["replicate"] == "0"


def test_names_of_networks_in_tables():
    found = [each.model for each in (UNTUNED, CONTRASTIVE, POOLED, LOSO)]
    assert found == [
        "untuned",
        "contrastive subj01 lh V1v",
        "pooled_mean lh V1v",
        "pooled_loso subj02 rh V1v",
    ]
    assert CONTRASTIVE.but(replicate="3").model == "contrastive subj01 lh V1v replicate 3"


@given(addresses)
def test_own_entities_are_those_that_tell_a_file_from_others(address):
    assert ALL not in address.own.values() and "" not in address.own.values()
    assert address.only(*address.own) == Address(**address.own)


@given(addresses)
def test_a_path_of_every_stage_matches_the_wildcards_of_rules(address):
    parts = address.path(OF_NETWORK).split("/")
    assert [re.split("-", part)[0] for part in parts] == [
        "ds",
        "sub",
        "hemi",
        "roi",
        "method",
        "rep",
    ]
