"""What a changed key runs again: the jobs that Snakemake plans, for every key."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest
from tiny import TINY

from cortune.address import Address
from cortune.config import Config, keys
from cortune.errors import CortuneError
from cortune.project import Project
from cortune.reruns import CHOICES, reruns
from dags import needed, outputs_of

pytestmark = pytest.mark.workflow
BEFORE = Config.from_mapping(TINY).as_dict()
# Other values of keys for which none can be guessed.
OTHER: dict[str, list[Any]] = {
    "datasets.<name>.rois": [["V1v", "V1d"]],
    "datasets.<name>.simulate.vertices": [{"V1v": {"lh": 35, "rh": 0}, "FBA-1": 3}],
    "split.by": ["shared1000"],
    "tuning.pooled_order": ["sequential"],
    "backbone.name": ["alexnet"],
    "backbone.weights": ["pretrain"],
    "backbone.tokens": ["mean"],
    "backbone.layers": [["features.2"]],
    "tuning.methods": [["untuned", "regression"], ["untuned", "contrastive", "pooled_mean"]],
    "encoding.protocols": [["published"]],
    "encoding.size_curve.sizes": [[10, 20]],
    "encoding.size_curve.methods": [["contrastive"]],
    "encoding.size_curve.rois": [["V1v"]],
    "transfer.methods": [["contrastive"]],
    "transfer.rois": [["V1v"]],
    "probes.<name>.layer": ["classifier.2"],
    "saliency.layer": ["features.9"],
    "saliency.methods": [["contrastive"]],
    "landscape.methods": [["inpca", "mds"]],
    "cortex.surface": ["fsaverage5"],
}


def others(key: str, value: Any) -> Iterator[Any]:
    """Yield values that a key may have instead."""
    if key in OTHER:
        yield from OTHER[key]
    elif key == "datasets.<name>.subjects":
        yield [*value, f"{value[0][:-1]}3"]
    elif isinstance(value, bool):
        yield not value
    elif isinstance(value, int):
        yield from (value + 1, value - 1, 2 * value, value // 2)
    elif isinstance(value, float):
        yield from (value * 1.25, value * 0.75, value + 0.5)
    elif isinstance(value, str):
        yield from ("float32", "grad_cam", "hires_cam", "cpu", "all", "none")


def changed(key: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield configurations in which one key of the tiny run is another, each with its name."""
    head, *parts = key.split(".")
    if "<name>" not in parts:
        places = [[head, *parts]]
    else:
        places = [
            [head, name, *parts[1:]] for name in BEFORE.get(head) or () if parts[0] == "<name>"
        ]
    for place in places:
        after = copy.deepcopy(BEFORE)
        section, (*inside, last) = after, place
        for part in inside:
            section = section.get(part) if isinstance(section, dict) else None
        if not isinstance(section, dict) or last not in section:
            continue
        old = section[last]
        for value in others(key, old):
            section[last] = value
            if head == "split" and isinstance(old, float):  # shares sum to 1
                section["test" if last != "test" else "tune"] -= value - old
            try:
                if value != old and Project(Config.from_mapping(after)).units:
                    yield ".".join(place), after
                    break
            except CortuneError:
                pass
            section.update(copy.deepcopy(BEFORE["split"]) if head == "split" else {last: old})


def exercised():
    for key in keys():
        for name, after in changed(key):
            yield pytest.param(key, after, id=name)


CASES = list(exercised())


def test_nothing_is_planned_after_a_run(tiny):
    assert needed(tiny.write_config(BEFORE, "changed.yaml"), tiny.folder) == set()


def test_most_keys_are_exercised():
    assert len({case.values[0] for case in CASES}) > 60


@pytest.mark.parametrize(("key", "after"), CASES)
def test_a_changed_key_runs_again_what_its_versions_say(tiny, key, after):
    before, project = (Project(Config.from_mapping(each)) for each in (BEFORE, after))
    expected = outputs_of(project) - outputs_of(before)
    assert needed(tiny.write_config(after, "changed.yaml"), tiny.folder) == expected
    stages = {path.split("/")[1] for path in expected} - {"publish_results"}
    # Keys that no stage reads ask for more or fewer files, or name those of other content.
    if reruns(key) and key not in CHOICES:
        assert stages <= set(reruns(key)), "what docs/reruns.md says"


def test_a_job_is_told_from_another_by_its_first_output():
    project = Project(Config.from_mapping(BEFORE))
    assert len(outputs_of(project)) == sum(map(len, project.jobs.values()))
    assert project.jobs["publish_results"] == [Address()]
