"""Provenance that a JSON file has or is, and what versions say of places."""

from __future__ import annotations

import pytest

from cortune.artifacts import read_provenance, write_json
from cortune.errors import InputError
from cortune.inventory import _changes
from cortune.versions import Provenance

MADE = Provenance("simulate_dataset", "2-00000000", 0, {"seed": 0})


@pytest.mark.parametrize("inside", [False, True])
def test_a_json_file_has_provenance_or_is_it(tmp_path, inside):
    content = MADE.as_dict()
    write_json(tmp_path / "nsd.json", {"provenance": content, "n": 1} if inside else content)
    assert read_provenance(tmp_path / "nsd.json") == content


def test_another_json_file_has_none(tmp_path):
    write_json(tmp_path / "other.json", {"n": 1})
    with pytest.raises(InputError, match="no provenance"):
        read_provenance(tmp_path / "other.json")


def test_places_differ_where_only_one_is_given():
    made = {"images": False, "masks": True, "n_images": 60}
    assert _changes("a", made, {"images": None, "masks": "elsewhere", "n_images": 60}) == []
    assert _changes("a", made, {"images": "here", "masks": "b", "n_images": 60}) == [
        "a.images: False, now here"
    ]
