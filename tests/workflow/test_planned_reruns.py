"""What a changed key runs again: the jobs that Snakemake plans, for every key."""

from __future__ import annotations

import pytest
from tiny import TINY

from cortune.config import Config, ConfigError
from cortune.reruns import STRUCTURAL, changed, keys, rules_of
from dags import planned

pytestmark = pytest.mark.workflow
# Some rules simulate; they are one stage.
STAGE_OF = dict.fromkeys(("simulate_nsd", "simulate_nod", "simulate_shared"), "simulate_dataset")
# Their values name files or data that the tiny run has not.
NEEDS_DATA = {
    "datasets.<name>.layout",
    "datasets.<name>.root",
    "datasets.<name>.simulate.masks",
    "datasets.<name>.simulate.images",
    "probes.<name>.kind",
    "probes.<name>.root",
}


@pytest.fixture(scope="module")
def stages_of(tiny):
    """Return a function: the stages of the jobs that Snakemake plans, within this process."""

    def plan(config) -> set[str]:
        dag = planned(tiny.write_config(config, "changed.yaml"), tiny.folder).dag
        jobs = [job for job in dag.jobs if dag.needrun(job)]
        return {STAGE_OF.get(job.rule.name, job.rule.name) for job in jobs} - {"all"}

    return plan


def test_nothing_is_planned_after_a_run(stages_of):
    assert stages_of(TINY) == set()


def exercised():
    for key in keys():
        if key in NEEDS_DATA:
            continue
        try:
            pair = changed(key, TINY)
            if pair is not None:
                Config.from_mapping(pair[1])
        except (ConfigError, KeyError, IndexError, TypeError):
            continue  # a key of a section or layout that the tiny run has not
        if pair is not None:
            yield pytest.param(key, *pair, id=key)


@pytest.mark.parametrize(("key", "before", "after"), list(exercised()))
def test_a_changed_key_runs_again_what_its_versions_say(stages_of, key, before, after):
    expected = rules_of(before, after)
    found = stages_of(after) - {"publish_results"}
    if key in STRUCTURAL:
        assert expected <= found
    else:
        assert found == expected
