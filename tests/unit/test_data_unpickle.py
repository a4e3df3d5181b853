"""The restricted unpickler reads names by number and can run nothing."""

from __future__ import annotations

import io
import os
import pickle
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cortune.data.algonauts_files import load_mapping
from cortune.data.unpickle import MAX_BYTES, load_names
from cortune.errors import InputError

MAPPING = {0: "Unknown", 1: "OFA", 2: "FFA-1"}


def npy(pickled: bytes, descr: str = "|O") -> bytes:
    """Wrap a pickle as NumPy wraps that of an object array."""
    buffer = io.BytesIO()
    header = {"descr": descr, "fortran_order": False, "shape": ()}
    np.lib.format.write_array_header_1_0(buffer, header)
    return buffer.getvalue() + pickled


def write(path: Path, pickled: bytes) -> Path:
    path.write_bytes(npy(pickled))
    return path


def object_array(value: object) -> np.ndarray:
    array = np.empty((), object)
    array[()] = value
    return array


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_every_protocol(tmp_path: Path, protocol: int) -> None:
    pickled = pickle.dumps(object_array(MAPPING), protocol=protocol)
    assert load_names(write(tmp_path / "m.npy", pickled)) == MAPPING


@pytest.mark.parametrize("core", [b"numpy._core", b"numpy.core"])
def test_both_generations_of_numpy(tmp_path: Path, core: bytes) -> None:
    pickled = pickle.dumps(object_array(MAPPING), protocol=3)
    installed = b"numpy._core" if b"numpy._core" in pickled else b"numpy.core"
    path = write(tmp_path / "m.npy", pickled.replace(installed, core))
    assert load_names(path) == MAPPING


def test_as_numpy_saves_it(tmp_path: Path) -> None:
    np.save(tmp_path / "m.npy", MAPPING)  # type: ignore[arg-type]
    assert load_names(tmp_path / "m.npy") == MAPPING


def test_numpy_scalars_and_trailing_spaces(tmp_path: Path) -> None:
    mapping = {
        np.int64(0): np.str_("Unknown"),
        np.uint8(1): "OFA ",
        np.int32(2): np.str_(" FFA-1 "),
    }
    np.save(tmp_path / "m.npy", mapping)  # type: ignore[arg-type]
    names = load_mapping(tmp_path / "m.npy")
    assert names == MAPPING
    assert {type(key) for key in names} == {int}
    assert {type(name) for name in names.values()} == {str}


def test_numpy_scalars_of_the_other_byte_order(tmp_path: Path) -> None:
    """Written on another kind of machine; made by hand, as NumPy pickles native scalars."""
    little, big = b"X\x01\x00\x00\x00<", b"X\x01\x00\x00\x00>"
    pickled = pickle.dumps(object_array({np.array(1, "<i4")[()]: "OFA"}), protocol=3)
    assert pickled.count(little) == 1
    names = load_names(write(tmp_path / "m.npy", pickled.replace(little, big)))
    assert names == {1 << 24: "OFA"}


class Call:
    """Pickles as a call."""

    def __init__(self, function: object, *arguments: object) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return self.call


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize("nested", [False, True], ids=["bare", "in the mapping"])
@pytest.mark.parametrize("function, name", [(os.system, "system"), (eval, "eval"), (open, "open")])
def test_code_is_refused_by_name_and_does_not_run(
    tmp_path: Path, protocol: int, nested: bool, function: object, name: str
) -> None:
    canary = tmp_path / "canary"
    argument = {
        "system": f"touch {canary}",
        "eval": f"open({str(canary)!r}, 'w')",
        "open": (str(canary), "w"),
    }[name]
    call = Call(function, *argument) if name == "open" else Call(function, argument)
    value = object_array({0: "Unknown", 1: call}) if nested else call
    pickled = pickle.dumps(value, protocol=protocol)
    with pytest.raises(InputError, match=rf"the Python name \w+\.{name};") as caught:
        load_names(write(tmp_path / "m.npy", pickled))
    assert not canary.exists()
    assert "m.npy" in str(caught.value) and "Nothing in it was run" in str(caught.value)
    pickle.loads(pickled)  # the canary works
    assert canary.exists()


def test_the_arguments_of_admitted_names_are_not_obeyed(tmp_path: Path) -> None:
    reconstruct = np.zeros(0).__reduce__()[0]
    bomb = pickle.dumps(Call(reconstruct, np.ndarray, (10**13,), b"b"), protocol=4)
    with pytest.raises(InputError, match="pickled array"):
        load_names(write(tmp_path / "m.npy", bomb))


REFUSED = {
    "memory claimed by a memo index": (b"\x80\x02}r\xff\xff\xff\xff.", "a pickled dict"),
    "memory claimed by a length": (b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x7f", "damaged"),
    "a name that is a tuple": (b"\x80\x02)\x85)\x93.", "requires str"),
    "a tuple as a key": (b"}))s.", "tuple as a key"),
    "a key of 100 bytes": (b"}\x8a\x64" + b"\x01" * 100 + b"K\x00s.", "64 bits"),
    "another instruction": (b"cnumpy\ndtype\n)\x81.", "the pickle instruction NEWOBJ"),
    "a persistent id": (b"Phello\n.", "the pickle instruction PERSID"),
    "a state for a constructor": (b"cnumpy\ndtype\nN}\x86b.", "a state for a type"),
    "memory claimed for bytes": (b"\x96" + b"\xff" * 7 + b"\x0f.", "instruction BYTEARRAY8"),
    "an array that is no array's": (b"cnumpy\nndarray\nK\x05\x85R.", "a pickled array"),
    "a name of two lines": (b"\x8c\x03a\nb\x8c\x01c\x93.", "the Python name a b.c;"),
    "an extension": (b"\x82\x01.", "the pickle instruction EXT1"),
    "nothing": (b"", "damaged"),
    "no end": (b"}", "damaged"),
    "an empty stack": (b".", "damaged"),
}


@pytest.mark.parametrize("pickled, found", REFUSED.values(), ids=REFUSED)
def test_odd_pickles_are_refused_at_once(tmp_path: Path, pickled: bytes, found: str) -> None:
    with pytest.raises(InputError, match=found):
        load_names(write(tmp_path / "m.npy", pickled))


def test_a_tuple_that_cannot_be_hashed_in_time(tmp_path: Path) -> None:
    doubling = b")" + b"q\x00h\x00\x86" * 200  # t = (t, t), two hundred times
    dtype = b"cnumpy\ndtype\n" + doubling + b"\x85R."
    for pickled in (
        *(b"}" + doubling + b"Ns.", b"}(" + doubling + b"Nu.", b"(" + doubling + b"Nd."),
        *(doubling + doubling + b"\x93.", doubling + b".", dtype),
    ):
        with pytest.raises(InputError):
            load_names(write(tmp_path / "m.npy", pickled))


@pytest.mark.parametrize("instruction", [b"(", b"}", b"]", b"N", b")\x85", b"}q\x00"])
def test_the_worst_of_the_largest_file_takes_no_time(tmp_path: Path, instruction: bytes) -> None:
    pickled = instruction * (MAX_BYTES // len(instruction) - 100) + b"."
    start = time.perf_counter()
    with pytest.raises(InputError):
        load_names(write(tmp_path / "m.npy", pickled))
    assert time.perf_counter() - start < 2


@pytest.mark.parametrize(
    "value, found",
    [
        (["Unknown", "V1v"], "a pickled list"),
        ({"V1v": 1}, "str as a key"),
        ({1.5: "V1v"}, "BINFLOAT"),
        ({1: 2}, "int as the name of 1"),
        ({1: ("V1v",)}, "tuple as the name of 1"),
        ({1: np.float64(2)}, "scalar of type f8"),
        ("V1v", "a pickled str"),
    ],
)
def test_other_values_are_refused_by_kind(tmp_path: Path, value: object, found: str) -> None:
    np.save(tmp_path / "m.npy", object_array(value))
    with pytest.raises(InputError, match=found):
        load_names(tmp_path / "m.npy")


def test_other_files_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "numbers.npy", np.arange(3))
    (tmp_path / "raw.npy").write_bytes(pickle.dumps(MAPPING))
    (tmp_path / "huge.npy").write_bytes(npy(pickle.dumps(MAPPING) + b" " * MAX_BYTES))
    for name, found in [
        ("numbers.npy", "array of int64"),
        ("raw.npy", "no .npy header"),
        ("huge.npy", "more than"),
        ("absent.npy", "no file"),
    ]:
        with pytest.raises(InputError, match=found):
            load_names(tmp_path / name)


@settings(deadline=None)
@given(st.data())
def test_a_damaged_mapping_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    pickled = bytearray(pickle.dumps(object_array(MAPPING), protocol=3))
    for _ in range(data.draw(st.integers(1, 3))):
        pickled[data.draw(st.integers(0, len(pickled) - 1))] = data.draw(st.integers(0, 255))
    path = write(tmp_path_factory.mktemp("fuzz") / "m.npy", bytes(pickled))
    try:
        names = load_names(path)
    except InputError:
        return
    assert all(type(k) is int and type(v) is str for k, v in names.items())
