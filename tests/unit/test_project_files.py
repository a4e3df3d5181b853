"""Files that must stay in step with each other."""

from __future__ import annotations

import re
import tomllib

import pytest
import yaml

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


def test_every_rule_has_a_script_of_its_name_and_the_reverse(repository):
    rules = {
        name
        for path in (repository / "workflow" / "rules").glob("*.smk")
        for name in re.findall(r"^rule (\w+):", path.read_text(), flags=re.MULTILINE)
    }
    scripts = {path.stem for path in (repository / "workflow" / "scripts").glob("*.py")}
    assert rules == scripts


def test_every_rule_has_log_benchmark_environment_and_resources(repository):
    for path in (repository / "workflow" / "rules").glob("*.smk"):
        for rule in re.split(r"^rule ", path.read_text(), flags=re.MULTILINE)[1:]:
            for word in (
                "log:",
                "benchmark:",
                "conda:",
                "threads:",
                "mem_mb=",
                "runtime=",
                "script:",
            ):
                assert word in rule, (path.name, rule.split(":")[0], word)
            if re.match("tune|extract_features|pretrain|transfer|probe_network|map_sal", rule):
                assert "gpu=" in rule


def test_scripts_are_short(repository):
    for path in (repository / "workflow" / "scripts").glob("*.py"):
        assert len(path.read_text().splitlines()) <= 40, path.name


def test_every_stage_is_a_rule(repository):
    from cortune.versions import STAGES

    scripts = {path.stem for path in (repository / "workflow" / "scripts").glob("*.py")}
    # The layouts are simulated by a rule each, all of one stage.
    layouts = {"simulate_nsd", "simulate_nod", "simulate_shared"}
    assert set(STAGES) == scripts - layouts - {"publish_results"}
