"""The registries: what simulators and readers say of themselves is so, at little cost."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cortune.data import LAYOUTS, open_dataset
from cortune.errors import InputError
from cortune.simulate import SIMULATORS, simulate_layout

VERTICES = {"V1v": 30, "hV4": 20, "FFA-1": 12}
TINY = {"n_images": 8, "image_size": 32, "n_classes": 6}
ON_FSAVERAGE = TINY | {"n_shared": 4, "n_test_images": 2, "n_repeats": 2, "vertices": VERTICES}
OPTIONS: dict[str, dict[str, Any]] = {
    "algonauts2023": ON_FSAVERAGE,
    "nsd": ON_FSAVERAGE,
    "nod": TINY | {"run_trials": 4, "session_runs": 1},
}


def files(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_simulator_says_what_it_writes(layout: str, tmp_path: Path) -> None:
    simulator, root = SIMULATORS[layout], tmp_path / "data"
    subject = simulator.subject(1)
    spec = simulator.spec.from_mapping(OPTIONS[layout])
    shared = simulator.simulate_shared(spec, root, 0)
    assert shared == [root / name for name in simulator.shared]
    written = simulator.simulate_subject(spec, subject, root, tmp_path / "truth", 0)
    assert {root / folder for folder in simulator.folders(subject)} <= set(written)
    below = {file for path in [*shared, *written] for file in (files(path) or {path})}
    assert below == files(root)
    reader = open_dataset(layout, root)
    assert reader.subjects() == [subject] and reader.problems("all", "all") == []
    for hemisphere in ("lh", "rh"):
        planned = simulator.roi_sizes(spec, subject, hemisphere)
        found = reader.roi_sizes(subject, hemisphere)
        assert planned and planned.items() <= found.items()
    assert set(reader.sources(subject)) | set(reader.sources(subject, "lh")) <= below


def test_layout_and_specification_belong_together(tmp_path: Path) -> None:
    spec = SIMULATORS["nsd"].spec.from_mapping(ON_FSAVERAGE)
    with pytest.raises(InputError, match=r"found nod; expected one that fits .* Use NodSpec"):
        simulate_layout("nod", tmp_path / "data", ["sub01"], spec, 0)
    assert not list(tmp_path.iterdir())


def test_registries_import_nothing_heavy() -> None:
    heavy = {"torch", "pandas", "nibabel", "scipy", "h5py", "PIL"}
    code = f"import cortune.simulate, sys; print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


@pytest.mark.parametrize("layout", LAYOUTS)
def test_options_are_arguments_of_the_reader(layout: str, tmp_path: Path) -> None:
    reader = LAYOUTS[layout]
    defaults = {name: getattr(reader, name) for name in reader.options}
    assert defaults.keys() <= reader.__dataclass_fields__.keys()
    assert open_dataset(layout, tmp_path, **defaults) == reader(tmp_path)
