"""A fingerprint is what a file holds: not where it lies, nor when it was copied."""

from __future__ import annotations

import json
import os
import shutil

import pytest

from cortune import fingerprints
from cortune.errors import InputError
from cortune.fingerprints import Fingerprints, Sources, digest_of, key_of, keys_of, read_now

LARGE = fingerprints.WHOLE + 1000


@pytest.fixture
def small(tmp_path):
    path = tmp_path / "small"
    path.write_bytes(b"responses")
    return path


@pytest.fixture
def large(tmp_path):
    """A file of which blocks are read; most of it takes no space."""
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.truncate(LARGE)
    return path


def written(path, position, content):
    with path.open("r+b") as file:
        file.seek(position)
        file.write(content)


def of(*paths, known=None):
    sources = Sources([(f"file {n}", path) for n, path in enumerate(paths)])
    found = (known or Fingerprints()).of(sources)
    assert found == read_now(sources), "who plans and who runs see the same"
    return found


def copied(path):
    return shutil.copy(path, path.with_name("elsewhere"))


def moved(path):
    (path.parent / "deep").mkdir()
    return path.rename(path.parent / "deep" / "other-name")


def hard_linked(path):
    os.link(path, path.with_name("linked"))
    return path.with_name("linked")


def linked(path):
    path.with_name("pointer").symlink_to(path)
    return path.with_name("pointer")


def touched(path):
    os.utime(path, (1, 1))
    return path


@pytest.mark.parametrize("kind", ["small", "large"])
@pytest.mark.parametrize("place", [copied, moved, hard_linked, linked, touched])
def test_the_same_content_anywhere_and_at_any_time_is_the_same(request, kind, place):
    path, known = request.getfixturevalue(kind), Fingerprints()
    before = of(path, known=known)
    assert of(place(path), known=known) == before


def changed_byte(path):
    written(path, 3, b"x")


def grown(path):
    with path.open("ab") as file:
        file.write(b"\0")


def shortened(path):
    os.truncate(path, path.stat().st_size - 1)


def changed_first(path):
    written(path, 0, b"x")


def changed_last(path):
    written(path, path.stat().st_size - 1, b"x")


def replaced(path):
    """By other data of the same size, its time kept as a copy with `cp -p` would."""
    times, size = path.stat(), path.stat().st_size
    other = path.with_name("other")
    other.write_bytes(b"\1" * size)
    os.utime(other, ns=(times.st_atime_ns, times.st_mtime_ns))
    other.replace(path)


def rewritten_in_place_with_its_times(path):
    """Size, inode and modification time are as before; only the time of change tells."""
    times = path.stat()
    written(path, 0, b"x")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    after = path.stat()
    same = ("st_size", "st_mtime_ns", "st_ino")
    assert all(getattr(times, name) == getattr(after, name) for name in same)


@pytest.mark.parametrize("kind", ["small", "large"])
@pytest.mark.parametrize(
    "change",
    [
        changed_byte,
        grown,
        shortened,
        changed_first,
        changed_last,
        replaced,
        rewritten_in_place_with_its_times,
    ],
)
def test_other_content_is_another(request, kind, change):
    path, known = request.getfixturevalue(kind), Fingerprints()
    before = of(path, known=known)
    change(path)
    assert of(path, known=known) != before


def test_a_link_that_points_elsewhere_is_another(small, tmp_path):
    pointer, known = linked(small), Fingerprints()
    before = of(pointer, known=known)
    other = tmp_path / "other"
    other.write_bytes(b"different")
    pointer.unlink()
    pointer.symlink_to(other)
    assert of(pointer, known=known) != before


def test_names_and_their_order_count_but_not_the_order_of_files(small, large):
    one, other = ("a", small), ("b", large)
    assert read_now(Sources([one, other])) == read_now(Sources([other, one]))
    assert read_now(Sources([one])) != read_now(Sources([("z", small)]))
    with_names = [read_now(Sources([one], names)) for names in ((), ("x", "y"), ("y", "x"))]
    assert len(set(with_names)) == 3
    swapped = Sources([("a", large), ("b", small)])
    assert read_now(swapped) != read_now(Sources([one, other]))


def test_of_a_large_file_blocks_are_read(large, monkeypatch):
    """So little of it that a data set of a terabyte is fingerprinted in minutes."""
    assert fingerprints.BLOCKS * fingerprints.BLOCK < fingerprints.WHOLE
    starts = [
        (LARGE - fingerprints.BLOCK) * index // (fingerprints.BLOCKS - 1)
        for index in range(fingerprints.BLOCKS)
    ]
    assert starts[0] == 0 and starts[-1] + fingerprints.BLOCK == LARGE
    before = digest_of(large)
    for start in (starts[1], starts[31] + fingerprints.BLOCK - 1, starts[-2]):
        written(large, start, b"x")
        assert digest_of(large) != before
        written(large, start, b"\0")
    assert digest_of(large) == before


def test_an_edit_between_the_blocks_of_a_large_file_is_missed_and_the_documents_say_so(large):
    """`cortune verify --raw` is what finds it."""
    before = digest_of(large)
    written(large, fingerprints.BLOCK + 10, b"x")
    assert digest_of(large) == before
    assert "cortune verify --raw" in fingerprints.__doc__


def never(path):
    raise AssertionError(f"{path} is read")


def test_a_file_that_is_known_is_not_read_even_by_another_process(small, tmp_path, monkeypatch):
    store = tmp_path / "results" / ".fingerprints.json"
    first = Fingerprints(store)
    found = first.of(Sources([("a", small)]))
    first.save()
    monkeypatch.setattr(fingerprints, "digest_of", never)
    assert first.of(Sources([("a", small)])) == found
    second = Fingerprints(store)
    assert second.of(Sources([("a", small)])) == found
    assert second.of(Sources([("a", linked(small))])) == found
    touched(small)
    with pytest.raises(AssertionError, match="is read"):
        second.of(Sources([("a", small)]))


def test_a_file_that_was_renamed_costs_one_reading_at_most(small, tmp_path):
    """Renaming is a change of the inode's time on most file systems."""
    store = tmp_path / ".fingerprints.json"
    known = Fingerprints(store)
    before = known.of(Sources([("a", small)]))
    assert known.of(Sources([("a", moved(small))])) == before


@pytest.mark.parametrize("content", ["", "{", "[1]", "null", '"x"', "\udcff"])
def test_a_damaged_store_is_done_without(small, tmp_path, content):
    store = tmp_path / ".fingerprints.json"
    store.write_bytes(content.encode("utf-8", "surrogateescape"))
    known = Fingerprints(store)
    assert known.of(Sources([("a", small)])) == read_now(Sources([("a", small)]))
    known.save()
    assert json.loads(store.read_text()) == {key_of(small): digest_of(small)}


def test_a_store_that_cannot_be_written_is_done_without(small, tmp_path):
    (tmp_path / "file").write_text("no folder")
    known = Fingerprints(tmp_path / "file" / "store.json")
    known.of(Sources([("a", small)]))
    known.save()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "small"]


def test_nothing_new_writes_nothing(small, tmp_path):
    store = tmp_path / "store.json"
    known = Fingerprints(store)
    known.save()
    assert not store.exists()
    known.of(Sources([("a", small)]))
    known.save()
    times = key_of(store)
    known.of(Sources([("a", small)]))
    known.save()
    assert key_of(store) == times and list(tmp_path.glob("*.part")) == []


@pytest.mark.parametrize("look", [read_now, keys_of, lambda sources: Fingerprints().of(sources)])
def test_a_missing_file_is_named(tmp_path, look):
    with pytest.raises(InputError, match=r"gone\.h5: found No such file.*expected a file that can"):
        look(Sources([("a", tmp_path / "gone.h5")]))


def test_a_file_that_changes_while_it_is_read_is_refused(small, monkeypatch):
    def reading(path):
        grown(small)
        return digest_of(path)

    monkeypatch.setattr(fingerprints, "digest_of", reading)
    with pytest.raises(InputError, match="changes while it is read"):
        Fingerprints().of(Sources([("a", small)]))


def test_keys_tell_a_file_that_was_written_in_the_meantime(small):
    before = keys_of(Sources([("a", small)]))
    assert keys_of(Sources([("a", small)])) == before
    rewritten_in_place_with_its_times(small)
    assert keys_of(Sources([("a", small)])) != before
