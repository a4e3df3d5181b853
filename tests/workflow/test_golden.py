"""Golden numbers: an output that changes without a raised number fails, and says which."""

from __future__ import annotations

import copy
import json

import golden
import pytest

from cortune.stages import STAGES

PINS = json.loads(golden.PINS.read_text(encoding="utf-8"))


def test_every_stage_is_pinned():
    assert set(PINS) == set(STAGES) - golden.NOT_COVERED
    assert all(each["summary"] for each in PINS.values())


@pytest.mark.workflow
def test_the_tiny_run_gives_what_is_pinned(tiny):
    assert golden.problems(golden.pins_of(tiny.folder), PINS) == []


@pytest.mark.parametrize("stage", sorted(PINS))
def test_a_changed_output_names_its_stage(stage):
    """Not the stages that follow from it, whose output changed with it."""
    found = copy.deepcopy(PINS)
    for name in [stage, *(other for other in PINS if stage in golden.upstream(other))]:
        figures = next(iter(found[name]["summary"].values()))
        figures[1] += 1 + 2 * max(map(abs, figures))
    (said,) = golden.problems(found, PINS)
    assert f"stage {stage}: " in said
    assert f"raise `number` of stage {stage} in src/cortune/stages/" in said


def test_a_raised_number_asks_for_new_pins():
    found = copy.deepcopy(PINS)
    for name in ("tune_network", "encode_roi"):
        found[name] = {"version": "9-00000000", "summary": {}}
    (said,) = golden.problems(found, PINS)
    assert "no pins of the versions of encode_roi, tune_network" in said and "number" in said
