"""The training loop: one for every method, resumable and deterministic."""

from __future__ import annotations

import hashlib
import json
import logging
import math
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from tqdm import tqdm

from cortune.artifacts import atomic
from cortune.errors import CortuneError
from cortune.networks.backbones import normalise
from cortune.networks.device import Runtime
from cortune.seeds import torch_seed
from cortune.tuning.batches import BatchSource

logger = logging.getLogger(__name__)
History = list[dict[str, float]]
Objective = Callable[[Tensor, Any], Tensor]


@dataclass(frozen=True)
class Plan:
    """How long and how fast to train.

    Parameters
    ----------
    epochs : int
    learning_rate : float
        Peak learning rate.
    schedule : callable
        Factor of the learning rate by progress in [0, 1].
    keep_best : str, optional
        Name of the held-out measure whose highest epoch is kept, or with a ``-`` before it the
        lowest; the last epoch otherwise.
    """

    epochs: int
    learning_rate: float
    schedule: Callable[[float], float] = lambda progress: 1.0
    keep_best: str | None = None

    def best_is_last(self, history: History) -> bool:
        """Return whether the last epoch is the best so far and to be kept."""
        if self.keep_best is None:
            return False
        name = self.keep_best.removeprefix("-")
        sign = -1 if name != self.keep_best else 1
        values = [sign * epoch[name] for epoch in history]
        return values[-1] >= max(values)


def train(
    model: nn.Module,
    objective: Objective,
    batches: BatchSource,
    optimizer: torch.optim.Optimizer,
    plan: Plan,
    runtime: Runtime,
    *,
    seed: int,
    watch: Callable[[], dict[str, float]] | None,
    checkpoint: Path | None = None,
    identity: str = "",
) -> History:
    """Train `model` in place.

    Each epoch reseeds torch from (seed, epoch), so that a run resumed from a checkpoint
    draws the same dropout masks and ends with the same bytes as an undisturbed one.

    Parameters
    ----------
    model : nn.Module
        On the runtime's device.
    objective : callable
        ``objective(images, targets)`` with normalised images (n, 3, s, s): scalar loss.
    batches : BatchSource
    optimizer : torch.optim.Optimizer
    plan : Plan
    runtime : Runtime
    seed : int
    watch : callable, optional
        Measures the model, in evaluation mode, after each epoch.
    checkpoint : Path, optional
        Where to save the state after each epoch, and to resume from if it exists.
    identity : str
        What is trained; a checkpoint of anything else is ignored.

    Returns
    -------
    list of dict
        Per epoch: ``epoch``, ``loss`` and what `watch` measured.

    Raises
    ------
    CortuneError
        If the loss is not finite.
    """
    best: dict[str, Tensor] = {}
    history = resume(checkpoint, identity, model, optimizer, best) if checkpoint else []
    n_steps = plan.epochs * batches.steps_per_epoch
    bar = tqdm(
        range(len(history), plan.epochs),
        initial=len(history),
        total=plan.epochs,
        unit="epoch",
        file=sys.stderr,
        mininterval=5,
    )
    for epoch in bar:
        torch.manual_seed(torch_seed(seed, "epoch", epoch))
        model.train()
        started = time.perf_counter()
        loss = torch.zeros((), device=runtime.device)
        for step, (images, targets) in enumerate(batches.epoch(epoch)):
            progress = (epoch * batches.steps_per_epoch + step) / n_steps
            for group in optimizer.param_groups:
                group["lr"] = plan.learning_rate * plan.schedule(progress)
            loss += _step(model, objective, optimizer, runtime, images, targets)
        mean_loss = float(loss) / batches.steps_per_epoch
        if not torch.isfinite(loss):
            raise CortuneError(
                f"epoch {epoch + 1}: found a loss of {mean_loss}, expected a finite one. Lower the "
                "learning rate, or check the responses with `cortune check`."
            )
        rate = len(batches) / (time.perf_counter() - started)
        model.eval()
        history.append({"epoch": epoch + 1, "loss": mean_loss, **(watch() if watch else {})})
        if plan.best_is_last(history):
            best = {key: value.detach().clone() for key, value in model.state_dict().items()}
        bar.set_postfix_str(f"loss {mean_loss:.4f}, {rate:.0f} images/s")
        if checkpoint is not None:
            save_checkpoint(checkpoint, identity, model, optimizer, history, best)
    if best:
        model.load_state_dict(best)
    return history


def _step(
    model: nn.Module,
    objective: Objective,
    optimizer: torch.optim.Optimizer,
    runtime: Runtime,
    images: Tensor,
    targets: Any,
) -> Tensor:
    images = normalise(images.to(runtime.device, non_blocking=True), model)
    targets = targets.to(runtime.device, non_blocking=True)
    with runtime.autocast():
        loss = objective(images, targets)
    optimizer.zero_grad(set_to_none=True)
    with runtime.products():
        loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    return loss.detach()


def save_checkpoint(
    path: Path,
    identity: str,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    history: History,
    best: Mapping[str, Tensor],
) -> None:
    """Save model, optimizer, history and the best epoch's model as one safetensors file."""
    tensors = {f"model.{key}": value.contiguous() for key, value in model.state_dict().items()}
    tensors |= {f"best.{key}": value.contiguous() for key, value in best.items()}
    for index, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{key}": value.contiguous() for key, value in state.items()}
    metadata = {"identity": identity, "history": json.dumps(history)}
    metadata["sha256"] = _digest(tensors, metadata)
    needs = sum(value.nbytes for value in tensors.values())
    with atomic(path, needs=needs, sheltered=True) as temporary:
        save_file(tensors, temporary, metadata=metadata)


def _digest(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> str:
    """Return the SHA-256 of what a checkpoint holds."""
    digest = hashlib.sha256(f"{metadata['identity']}\x1f{metadata['history']}".encode())
    for key in sorted(tensors):
        digest.update(f"\x1f{key}\x1f".encode())
        digest.update(np.ascontiguousarray(tensors[key].cpu().numpy()).data)
    return digest.hexdigest()


def resume(
    path: Path,
    identity: str,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    best: dict[str, Tensor],
) -> History:
    """Restore a checkpoint of the same `identity`; return its history, or [] if none.

    `best` is filled with the best epoch's model, where there is one.

    A checkpoint that cannot be read, or was damaged, is ignored: training starts afresh.
    """
    if not path.is_file():
        return []
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("identity") != identity:
                return []
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        if metadata.get("sha256") != _digest(tensors, metadata):
            raise ValueError("its content does not have its SHA-256")
    except (OSError, SafetensorError, ValueError, KeyError) as error:
        logger.warning("%s: cannot be resumed from (%s); training starts afresh", path, error)
        return []
    model.load_state_dict(
        {k.removeprefix("model."): v for k, v in tensors.items() if k.startswith("model.")}
    )
    best |= {k.removeprefix("best."): v for k, v in tensors.items() if k.startswith("best.")}
    state: dict[int, dict[str, Any]] = {}
    for key, value in tensors.items():
        if key.startswith("optimizer."):
            _, index, name = key.split(".", 2)
            state.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict(
        {"state": state, "param_groups": optimizer.state_dict()["param_groups"]}
    )
    return list(json.loads(metadata["history"]))


def one_cycle(progress: float, warm_up: float = 0.2) -> float:
    """Rise linearly to 1 over the warm-up, then fall to 0 along a cosine."""
    if progress < warm_up:
        return (progress + 0.02) / (warm_up + 0.02)
    return 0.5 * (1 + math.cos(math.pi * (progress - warm_up) / (1 - warm_up)))
