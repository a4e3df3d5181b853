from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from cortune.tuning import optimizers

LOAD = """
import sys
import torch
from cortune.tuning.optimizers import {name}
model = torch.nn.Linear(3, 2)
optimizer = {name}(model.parameters(), lr=0.1)
optimizer.zero_grad(set_to_none=True)
model(torch.ones(4, 3)).sum().backward()
optimizer.step()
optimizer.load_state_dict(optimizer.state_dict())
assert "torch._dynamo" not in sys.modules
"""


def trained(kind, **options):
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(5, 4), torch.nn.ReLU(), torch.nn.Linear(4, 2))
    decayed, free = [list(layer.parameters()) for layer in (model[0], model[2])]
    groups = [{"params": decayed, "weight_decay": 0.1}, {"params": free}]
    optimizer = kind(groups, lr=0.05, **options)
    for step in range(6):
        if step == 3:
            optimizer.load_state_dict(optimizer.state_dict())
        optimizer.zero_grad(set_to_none=True)
        model(torch.arange(15.0).reshape(3, 5) * step).pow(2).mean().backward()
        optimizer.step()
    assert all(p.requires_grad for p in model.parameters())
    return torch.cat([p.detach().flatten() for p in model.parameters()])


@pytest.mark.parametrize("name", ["Adam", "AdamW"])
def test_steps_are_torchs_to_the_last_bit(name):
    ours, theirs = getattr(optimizers, name), getattr(torch.optim, name)
    assert torch.equal(trained(ours), trained(theirs, fused=True))
    assert torch.equal(trained(ours, fused=False), trained(theirs))
    torch.testing.assert_close(trained(ours), trained(theirs))


@pytest.mark.parametrize("name", ["Adam", "AdamW"])
def test_the_compiler_is_not_imported(name):
    subprocess.run([sys.executable, "-c", LOAD.format(name=name)], check=True)


@pytest.mark.parametrize("name", ["Adam", "AdamW"])
def test_fused_steps_of_channels_last_weights_are_those_of_torch(name):
    """Also after state that lies in memory as in a checkpoint is loaded."""

    def weights(kind, resumes_at):
        torch.manual_seed(0)
        model = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.Conv2d(8, 4, 3))
        model = model.to(memory_format=torch.channels_last)
        optimizer = kind(model.parameters(), lr=0.01)
        for step in range(4):
            if step == resumes_at:
                saved = optimizer.state_dict()
                for moments in saved["state"].values():
                    moments |= {key: value.clone().contiguous() for key, value in moments.items()}
                optimizer.load_state_dict(saved)
            optimizer.zero_grad(set_to_none=True)
            images = torch.randn(5, 3, 9, 9).to(memory_format=torch.channels_last)
            model(images).pow(2).mean().backward()
            optimizer.step()
        return torch.cat([p.detach().flatten() for p in model.parameters()])

    ours, theirs = getattr(optimizers, name), getattr(torch.optim, name)
    straight = weights(ours, None)
    torch.testing.assert_close(straight, weights(theirs, None), rtol=1e-4, atol=1e-6)
    assert torch.equal(weights(ours, 2), straight)
