"""Tests over subjects err no more often than they say, and find more with more networks."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

_PATH = Path(__file__).parents[2] / "benchmarks" / "sizes.py"
_SPEC = importlib.util.spec_from_file_location("sizes", _PATH)
sizes = importlib.util.module_from_spec(_SPEC)
sys.modules["sizes"] = sizes  # its dataclasses look themselves up
_SPEC.loader.exec_module(sizes)


@pytest.mark.long
@pytest.mark.parametrize("n_replicates", sizes.REPLICATES)
@pytest.mark.parametrize("null", [name for name, of in sizes.BRAINS.items() if of.effect == 0])
def test_size(null, n_replicates):
    """At most .07 at .05, give or take three standard errors; skewed effects are no null."""
    of = sizes.BRAINS[null]
    called, _ = sizes.called_different(of, 8, n_replicates, 800)
    assert called < (0.12 if of.skewed else 0.07) + 0.023
    few, apart = sizes.called_different(of, 3, n_replicates, 300)
    assert np.isnan(few) and apart < 0.15


@pytest.mark.long
def test_power_grows_with_networks():
    power = [
        sizes.called_different(sizes.BRAINS["methods: gain of .02"], 8, n, 300)[0]
        for n in sizes.REPLICATES
    ]
    assert power[0] + 0.1 < power[1] < power[2] + 0.05
