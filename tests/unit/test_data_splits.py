"""Splits depend on the seed and the image alone, and leaks are caught."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cortune.data.prepare import split_images
from cortune.data.splits import (
    SETS,
    UNUSED,
    assert_disjoint,
    read_split,
    split_of,
    split_table,
)
from cortune.errors import InputError, LeakageError
from cortune.versions import Provenance

FRACTIONS = {"tune": 0.75, "validation": 0.10, "test": 0.15}
PROVENANCE = Provenance("split_images", "1-00000000", 0)

identities = st.lists(st.text(min_size=1), max_size=30)
seeds = st.integers(0, 2**32)


@st.composite
def fractions(draw: st.DrawFn) -> dict[str, float]:
    weights = [draw(st.floats(0.01, 1)) for _ in SETS]
    return {name: weight / sum(weights) for name, weight in zip(SETS, weights, strict=True)}


@settings(deadline=None)
@given(identities, seeds, fractions(), st.randoms())
def test_order_and_repetition_do_not_matter(
    names: list[str], seed: int, shares: dict[str, float], rng: random.Random
) -> None:
    shuffled = names * 2
    rng.shuffle(shuffled)
    table = split_table(names, seed, shares)
    assert list(split_table(shuffled, seed, shares).items()) == list(table.items())


@settings(deadline=None)
@given(identities, identities, seeds, fractions())
def test_adding_images_moves_none(
    names: list[str], more: list[str], seed: int, shares: dict[str, float]
) -> None:
    before, after = split_table(names, seed, shares), split_table(names + more, seed, shares)
    assert before.items() <= after.items()


@settings(deadline=None)
@given(identities, seeds, fractions())
def test_sets_are_a_partition(names: list[str], seed: int, shares: dict[str, float]) -> None:
    table = split_table(names, seed, shares)
    assert set(table) == set(names) and set(table.values()) <= set(SETS)
    for name in SETS:
        scored = [image for image in names if table[image] == name]
        others = [image for image in names if table[image] != name]
        assert_disjoint(others, scored, "test")


@settings(deadline=None)
@given(seeds, fractions())
def test_shares_are_met_within_sampling_error(seed: int, shares: dict[str, float]) -> None:
    n = 2000
    sets = list(split_table((f"nsd:{i:05d}" for i in range(n)), seed, shares).values())
    for name in SETS:
        error = np.sqrt(shares[name] * (1 - shares[name]) / n)
        assert abs(sets.count(name) / n - shares[name]) < 6 * error


@settings(deadline=None)
@given(identities, seeds)
def test_a_larger_test_share_only_adds_to_the_test_set(names: list[str], seed: int) -> None:
    small = split_table(names, seed, {"tune": 0.7, "validation": 0.2, "test": 0.1})
    large = split_table(names, seed, {"tune": 0.5, "validation": 0.1, "test": 0.4})
    assert {n for n in small if small[n] == "test"} <= {n for n in large if large[n] == "test"}


@settings(deadline=None)
@given(identities, seeds, st.floats(0, 0.3))
def test_fit_moves_no_test_image(names: list[str], seed: int, fit: float) -> None:
    """Images for encoding models are taken from those before them on the line."""
    without = split_table(names, seed, {"tune": 0.85, "validation": 0, "test": 0.15})
    shares = {"tune": 0.85 - fit, "validation": 0, "fit": fit, "test": 0.15}
    table = split_table(names, seed, shares)
    assert {n for n in table if table[n] == "test"} == {n for n in without if without[n] == "test"}


def test_sets_that_are_given_are_kept_and_the_rest_share_the_others() -> None:
    names = [f"nsd:{i:05d}" for i in range(3000)]
    chosen = dict.fromkeys(names[:100], "test") | dict.fromkeys(names[100:120], "fit")
    shares = {"tune": 0.6, "validation": 0.2, "fit": 0.0, "test": 0.2}
    table = split_table(names, 0, shares, chosen)
    assert chosen.items() <= table.items()
    rest = [table[name] for name in names[120:]]
    assert set(rest) == {"tune", "validation"}
    assert abs(rest.count("tune") / len(rest) - 0.75) < 0.04
    everything = {"tune": 0, "validation": 0, "test": 1}
    assert split_of(names[200], 0, everything, chosen) == UNUSED


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("identity,set\nnsd:00001,train\n", "the set 'train' of 'nsd:00001'"),
        ("identity,set\na,test\na,tune\n", "'a' in 'test' and in 'tune'"),
        ("image,set\na,test\n", "no such table"),
        ("identity,set\na\n", "no such table"),
    ],
)
def test_a_table_of_sets_that_does_not_fit_is_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "sets.csv").write_text(text)
    with pytest.raises(InputError, match=said):
        read_split(tmp_path / "sets.csv")


def test_seeds_differ() -> None:
    names = [f"nsd:{i:05d}" for i in range(300)]
    assert split_table(names, 0, FRACTIONS) != split_table(names, 1, FRACTIONS)


def test_the_hash_never_changes() -> None:
    """Published splits must stay reproducible."""
    for i, position in enumerate([0.763, 0.649, 0.631, 0.374, 0.983, 0.452, 0.676, 0.923]):
        # int(sha256(f"0\x1fnsd:{i:05d}").hexdigest()[:16], 16) / 2**64, to three digits
        expected = "tune" if position < 0.75 else "validation" if position < 0.85 else "test"
        assert split_of(f"nsd:{i:05d}", 0, FRACTIONS) == expected


def test_a_share_of_zero_or_one() -> None:
    names = [f"nsd:{i:05d}" for i in range(100)]
    assert set(split_table(names, 0, {"tune": 0, "validation": 0, "test": 1}).values()) == {"test"}
    found = split_table(names, 0, {"tune": 0.5, "validation": 0, "test": 0.5}).values()
    assert set(found) == {"tune", "test"}


@pytest.mark.parametrize(
    "shares",
    [
        {"tune": 0.75, "validation": 0.10, "test": 0.10},
        {"tune": 1.2, "validation": -0.2, "test": 0.0},
        {"tune": 0.85, "test": 0.15},
        {"tune": 0.75, "validation": 0.10, "test": 0.15, "extra": 0.0},
        {"tune": float("nan"), "validation": 0.5, "test": 0.5},
        {},
    ],
)
def test_wrong_shares_are_refused(shares: dict[str, float]) -> None:
    with pytest.raises(InputError, match="sum to 1"):
        split_table(["nsd:00000"], 0, shares)


def test_a_leak_is_caught_and_named() -> None:
    """The published code's leak: a split per subject by file index, then pooled."""
    subjects = {s: [f"nsd:{i:05d}" for i in range(100 * s, 100 * s + 300)] for s in range(3)}
    tuned = {name for names in subjects.values() for name in names[:200]}
    scored = subjects[1][200:]
    with pytest.raises(LeakageError, match=r"pooled, subj02: 100 of 100 .*'nsd:00300'"):
        assert_disjoint(tuned, scored, "pooled, subj02")
    table = split_table((name for names in subjects.values() for name in names), 0, FRACTIONS)
    tuned = {n for names in subjects.values() for n in names if table[n] == "tune"}
    assert_disjoint(tuned, [n for n in subjects[1] if table[n] == "test"], "pooled, subj02")


def test_one_leaked_image_is_enough() -> None:
    with pytest.raises(LeakageError, match=r"1 of 2 .*'b'"):
        assert_disjoint(iter("ab"), iter("bc"), "x")


def test_written_table_reads_back(tmp_path: Path) -> None:
    names = [f"coco:{i}" for i in range(200)]
    split_images(names, 3, FRACTIONS, tmp_path / "split.csv", PROVENANCE)
    assert read_split(tmp_path / "split.csv") == split_table(names, 3, FRACTIONS)
    first = (tmp_path / "split.csv").read_bytes()
    split_images(names[::-1], 3, FRACTIONS, tmp_path / "split.csv", PROVENANCE)
    assert (tmp_path / "split.csv").read_bytes() == first
    assert first.startswith(b"identity,set\n")
    assert (tmp_path / "split.csv.json").is_file()


def test_an_empty_set_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no image for .* among 1"):
        split_images(["nsd:00001"], 0, FRACTIONS, tmp_path / "split.csv", PROVENANCE)
    assert not (tmp_path / "split.csv").exists()
