"""The reference of tables and artifacts against the files of a finished run."""

from __future__ import annotations

import re

import h5py
import pandas as pd
import pytest
from safetensors import safe_open
from tiny import TINY

from cortune.artifacts import read_json
from cortune.config import Config
from cortune.reference.document import placed
from cortune.report.columns import TABLES
from cortune.stages import STAGES

pytestmark = pytest.mark.workflow
DESCRIBED = [
    pytest.param(stage, output, id=f"{stage.name}-{name}")
    for stage in STAGES.values()
    for name, output in stage.outputs.items()
    if output.holds
]


def matches(name: str, pattern: str) -> bool:
    """Whether a name is of a pattern in which <…> or {…} stand for something."""
    parts = re.split(r"<[^>]+>|\{[^}]+\}", pattern)
    return re.fullmatch(".+?".join(map(re.escape, parts)), name) is not None


def contents(path) -> set[str]:
    """What a file holds, in the notation of the reference."""
    if path.suffix == ".csv":
        return set(pd.read_csv(path, nrows=0).columns)
    if path.suffix == ".json":
        found = read_json(path)
        return set(found.get("cortune", found) if path.name == "config.json" else found)
    if path.suffix == ".safetensors":
        with safe_open(path, "np") as file:
            return set(file.keys())
    found = set()
    with h5py.File(path) as file:
        found |= {f"@{name}" for name in file.attrs if name != "cortune"}

        def visit(name, item):
            found.update(f"{name}@{attribute}" for attribute in item.attrs)
            if isinstance(item, h5py.Dataset):
                found.add(name)

        file.visititems(visit)
    return found


def test_tables_have_the_columns_described_in_their_order(tiny):
    folder = tiny.folder / "results" / "latest" / "tables"
    found = {
        path.name: pd.read_csv(path, nrows=0) if path.suffix == ".csv" else pd.read_parquet(path)
        for path in folder.iterdir()
        if path.suffix in (".csv", ".parquet")
    }
    assert set(found) == set(TABLES)
    for name, table in found.items():
        assert tuple(table.columns) == TABLES[name].columns, name


@pytest.mark.parametrize(("stage", "output"), DESCRIBED)
def test_files_hold_what_is_described(tiny, stage, output):
    folder = tiny.folder / "results" / stage.name
    if not folder.is_dir():
        pytest.skip(f"no job of {stage.name} in the tiny run")
    pattern = f"<version>/{placed(stage, output)}" + (output.inside and "/<file>")
    name = output.inside or output.path.rsplit("/", 1)[-1]
    files = [p for p in folder.rglob(name) if matches(str(p.relative_to(folder)), pattern)]
    assert files
    for path in files:
        unknown = [c for c in contents(path) if not any(matches(c, p) for p in output.holds)]
        assert not unknown, path
    seen = set().union(*(contents(path) for path in files))
    missing = [p for p in output.holds if not any(matches(c, p) for c in seen)]
    assert not [p for p in missing if not p.startswith("variance_partition")]


def test_the_manifest_has_the_configuration_of_the_run(tiny):
    """Whole and valid, with what no version covers: it can be run again from it."""
    manifest = read_json(tiny.folder / "results" / "latest" / "manifest.json")
    config = Config.from_mapping(manifest["config"])
    assert config == Config.from_mapping(TINY) and config.device == "auto"
