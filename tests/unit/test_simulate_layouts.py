"""The registries: what simulators and readers say of themselves is so, at little cost."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cortune.cli import main
from cortune.data import LAYOUTS, open_dataset
from cortune.errors import InputError
from cortune.simulate import SIMULATORS, is_simulated, simulate_layout

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


def command(layout: str, out: Path, **options: Any) -> list[str]:
    """Return the arguments of the program that write a tiny subject."""
    words = ["simulate", "--layout", layout, "--out", str(out)]
    for name, value in (OPTIONS[layout] | options).items():
        values = [f"{key}={n}" for key, n in value.items()] if isinstance(value, dict) else [value]
        words += [f"--{name.replace('_', '-')}", *map(str, values)]
    return words


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in files(folder)}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_command_replaces_nothing_but_simulations(layout: str, tmp_path: Path, capsys) -> None:
    simulator, root = SIMULATORS[layout], tmp_path / "real"
    subject = simulator.subject(1)
    assert main(command(layout, root)) == 0
    said = capsys.readouterr().out
    assert said == f"Wrote {subject} to {root}, and what is true of it to {tmp_path / 'truth'}\n"
    assert is_simulated(layout, root, subject)
    assert main(command(layout, root, seed=1)) == 0, "its own former simulation"

    # Without its truth it is anybody's.
    shutil.rmtree(tmp_path / "truth")
    (tmp_path / "link").symlink_to(root)
    before = contents(tmp_path)
    for out in (root, tmp_path / "link"):
        capsys.readouterr()
        assert main(command(layout, out)) == 1
        said = capsys.readouterr().err
        assert any(f"{out / name}: found" in said for name in simulator.folders(subject))
        assert "Choose another --out." in said
        assert contents(tmp_path) == before

    # The truth of a data set beside it does not make it a simulated one.
    assert main(command(layout, tmp_path / "stand_in", seed=2, n_images=12)) == 0
    assert is_simulated(layout, tmp_path / "stand_in", subject)
    assert not is_simulated(layout, root, subject)
    before = contents(tmp_path)
    assert main(command(layout, root)) == 1
    assert contents(tmp_path) == before


@pytest.mark.parametrize(
    ("layout", "name"),
    [
        ("nsd", "nsddata_stimuli/stimuli/nsd/nsd_stimuli.hdf5"),
        ("nsd", "nsddata/experiments/nsd/nsd_expdesign.mat"),
        ("nod", "supportfiles/MMP_mpmLR32k.mat"),
        ("nod", "stimuli/imagenet/n01440764/n01440764_3198.JPEG"),
    ],
)
def test_shared_files_that_no_simulation_wrote_stay(
    layout: str, name: str, tmp_path: Path, capsys
) -> None:
    path = tmp_path / "real" / name
    path.parent.mkdir(parents=True)
    path.write_bytes(b"MATLAB 5.0 MAT-file, Platform: GLNXA64")
    assert main(command(layout, tmp_path / "real")) == 1
    assert "Choose another --out." in capsys.readouterr().err
    assert files(tmp_path) == {path}


def test_a_folder_that_is_no_truth_stays(tmp_path: Path, capsys) -> None:
    mine = tmp_path / "truth" / "subj01" / "thesis.tex"
    mine.parent.mkdir(parents=True)
    mine.write_text("All of it.", encoding="utf-8")
    assert main(command("algonauts2023", tmp_path / "data")) == 1
    assert "found no truth of a simulation" in capsys.readouterr().err
    assert files(tmp_path) == {mine}
