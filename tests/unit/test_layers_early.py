"""A misspelt layer is refused before anything is tuned, and decides no version."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from cortune.errors import InputError
from cortune.networks.device import choose_runtime
from cortune.tuning.pretrain import Backbone
from cortune.tuning.stages import prepare_backbone, pretrain_backbone
from cortune.versions import Provenance

MADE = Provenance("prepare_backbone", "1-00000000", 0)
SAID = r"backbone\.layers: found 'feature\.2'.*Did you mean features\.2"


def backbone(weights: str) -> Backbone:
    return Backbone(name="alexnet_small", weights=weights, input_size=64, layers=["feature.2"])


def test_before_the_backbone_is_written(tmp_path):
    with pytest.raises(InputError, match=SAID):
        prepare_backbone(backbone("random"), tmp_path / "network.safetensors", MADE, 0)
    assert not list(tmp_path.iterdir())


def test_before_the_backbone_is_trained(tmp_path):
    names = ("network", "history", "accuracy")
    outputs = SimpleNamespace(**{name: str(tmp_path / name) for name in names})
    runtime = choose_runtime("cpu", "float32")
    with pytest.raises(InputError, match=SAID):
        pretrain_backbone(backbone("pretrain"), outputs, MADE, runtime, seed=0)
    assert not list(tmp_path.iterdir())
