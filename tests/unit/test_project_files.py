"""Files that must stay in step with each other."""

from __future__ import annotations

import ast
import re
import tomllib

import pytest
import yaml
from example import SIMULATING

from cortune.stages import STAGES

CONDA_NAMES = {"matplotlib": "matplotlib-base", "snakemake": "snakemake-minimal"}


def requirements(lines):
    """Map package to version range, spaces and case aside."""
    found = {}
    for line in lines:
        name, spec = re.fullmatch(r"([A-Za-z0-9_.-]+)\s*(.*)", line.strip()).groups()
        found[name.lower()] = spec.replace(" ", "")
    return found


@pytest.fixture(scope="module")
def dependencies(repository):
    project = tomllib.loads((repository / "pyproject.toml").read_text())["project"]
    return requirements(project["dependencies"])


@pytest.mark.parametrize(("name", "torch"), [("cpu", "pytorch-cpu"), ("gpu", "pytorch-gpu")])
def test_conda_environments_hold_the_dependencies(repository, dependencies, name, torch):
    environment = yaml.safe_load((repository / "envs" / f"{name}.yaml").read_text())
    found = requirements(line for line in environment["dependencies"] if isinstance(line, str))
    expected = {(CONDA_NAMES | {"torch": torch}).get(k, k): v for k, v in dependencies.items()}
    assert {k: v for k, v in found.items() if k not in ("python", "pip")} == expected


def test_constraints_pin_every_dependency(repository, dependencies):
    lines = (repository / "envs" / "constraints.txt").read_text().splitlines()
    pinned = {line.split("==")[0].lower() for line in lines if "==" in line}
    assert set(dependencies) <= pinned


def rules_in(repository):
    """Yield the text of every rule, by name."""
    for path in (repository / "workflow" / "rules").glob("*.smk"):
        for rule in re.split(r"^rule ", path.read_text(), flags=re.MULTILINE)[1:]:
            yield rule.split(":")[0], rule


def test_every_rule_has_log_benchmark_environment_and_resources(repository):
    words = ("log:", "benchmark:", "conda:", "mem_mb=", "runtime=", "message:", "script:")
    found = dict(rules_in(repository))
    assert len(found) > 30
    for name, rule in found.items():
        assert [word for word in words if word not in rule] == [], name


def test_a_rule_runs_the_script_of_its_stage(repository):
    scripts = {path.stem for path in (repository / "workflow" / "scripts").glob("*.py")}
    rules = {name: name for name in STAGES} | SIMULATING
    found = {name: re.search(r'"\.\./scripts/(\w+)\.py"', r)[1] for name, r in rules_in(repository)}
    assert found == rules and set(found.values()) == scripts == set(STAGES)


def test_a_script_hands_over_to_its_stage_and_does_nothing_itself(repository):
    """Snakemake reruns jobs when a script changes: what may change is in the package."""
    for path in (repository / "workflow" / "scripts").glob("*.py"):
        tree = ast.parse(path.read_text())
        body = [ast.unparse(node) for node in tree.body[1:]]
        assert body == ["from cortune.starter import run", "run(snakemake)"], path.name
        assert ast.get_docstring(tree), path.name
