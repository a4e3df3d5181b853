"""What rules ask of a cluster, and what the profiles say of it."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from example import EXAMPLE
from snakemake.cli import get_argument_parser

from cortune.stages import STAGES
from dags import planned

REPOSITORY = Path(__file__).resolve().parents[2]
PROFILES = {
    name: yaml.safe_load((REPOSITORY / "profiles" / name / "config.yaml").read_text())
    for name in ("default", "slurm")
}
LOCAL = {"all"}


@pytest.fixture(scope="module")
def rules(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rules")
    config = folder / "config.yaml"
    config.write_text(yaml.safe_dump(EXAMPLE))
    found = {rule.name: rule for rule in planned(config, folder).rules}
    return {name: rule for name, rule in found.items() if name not in LOCAL}


@pytest.mark.parametrize("resource", ["mem_mb", "runtime"])
def test_every_rule_asks_for_memory_and_time_and_for_more_when_tried_again(rules, resource):
    assert len(rules) > 35
    for name, rule in rules.items():
        asked = rule.resources[resource].evaluate
        first, second, third = (asked({}, attempt=attempt).value for attempt in (1, 2, 3))
        assert (second, third) == (2 * first, 3 * first), name
        assert first >= (300 if resource == "mem_mb" else 5), name


def test_rules_that_run_networks_ask_for_a_gpu_and_have_a_partition(rules):
    asking = {name for name, rule in rules.items() if "gpu" in rule.resources}
    assert asking == {name for name, stage in STAGES.items() if stage.gpu}
    assert asking == set(PROFILES["slurm"]["set-resources"])


def test_the_profile_names_rules_that_there_are(rules):
    slurm = PROFILES["slurm"]
    assert set(slurm["set-threads"]) <= set(rules) and set(slurm["groups"]) <= set(rules)
    assert set(slurm["group-components"]) == set(slurm["groups"].values())


@pytest.mark.parametrize("name", PROFILES)
def test_profiles_hold_options_of_snakemake(name):
    pytest.importorskip("snakemake_executor_plugin_slurm") if name == "slurm" else None
    options = {
        option.removeprefix("--")
        for action in get_argument_parser()._actions
        for option in action.option_strings
    }
    assert [key for key in PROFILES[name] if key not in options] == []


def test_profiles_agree_on_what_is_no_matter_of_the_cluster():
    default, slurm = PROFILES["default"], PROFILES["slurm"]
    different = {key for key in default if default[key] != slurm.get(key)}
    assert different == {"cores", "latency-wait"}
