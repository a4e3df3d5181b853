"""Images per second of the tuning job against a bare loop of the same model.

The bare loop holds all batches as normalised tensors in memory, in the device's layout, and
does nothing but forward, backward and step. The job reads uint8 rows of a memory map, normalises
them, shuffles and logs. Both run in this process, in turn,
with the same model, batch size, precision and threads.

    python benchmarks/tuning.py [--backbone alexnet] [--input-size 224] [--batch-size 32]
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from cortune.config import Contrastive
from cortune.networks.backbones import build_backbone, normalise
from cortune.networks.device import Runtime, choose_runtime
from cortune.tuning.batches import Batches
from cortune.tuning.loop import train
from cortune.tuning.methods.contrastive import contrastive

N_VOXELS = 700


def make_task(backbone: str, batch_size: int, runtime: Runtime):
    model = build_backbone(backbone, num_classes=1000)
    recipe = Contrastive(temperature=0.3, batch_size=batch_size, epochs=1, learning_rate=1e-4)
    task = contrastive(model, 1000, N_VOXELS, recipe)
    task.model.to(runtime.device, memory_format=torch.channels_last)
    return task


def bare_loop(task, batches: list[tuple[torch.Tensor, torch.Tensor]], runtime: Runtime) -> float:
    """Return images per second."""
    task.model.train()
    started = time.perf_counter()
    for images, responses in batches:
        with runtime.autocast():
            loss = task.objective(images, responses)
        task.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        task.optimizer.step()
    float(loss)
    return sum(len(images) for images, _ in batches) / (time.perf_counter() - started)


def job(task, batches: Batches, runtime: Runtime) -> float:
    """Return images per second of one epoch of the real loop, the validation set apart."""
    started = time.perf_counter()
    train(
        task.model, task.objective, batches, task.optimizer, task.plan, runtime, seed=0, watch=dict
    )
    return len(batches) / (time.perf_counter() - started)


def measure(
    backbone: str, input_size: int, batch_size: int, n_images: int, runs: int
) -> list[dict]:
    random = np.random.default_rng(0)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "images.npy"
        shape = (n_images, input_size, input_size, 3)
        np.save(path, random.integers(0, 256, shape, dtype=np.uint8))
        cache = np.load(path, mmap_mode="r")
        responses = random.standard_normal((n_images, N_VOXELS)).astype(np.float32)
        for precision in ("float32", "bfloat16"):
            runtime = choose_runtime("auto", precision)
            batches = Batches(cache, np.arange(n_images), responses, batch_size=batch_size, seed=0)
            task = make_task(backbone, batch_size, runtime)
            ready = [
                (
                    normalise(images.to(runtime.device), task.model).contiguous(
                        memory_format=torch.channels_last
                    ),
                    targets.to(runtime.device),
                )
                for images, targets in batches.epoch(0)
            ]
            bare_loop(task, ready, runtime)
            pairs = [
                (job(task, batches, runtime), bare_loop(task, ready, runtime)) for _ in range(runs)
            ]
            rows.append(
                {
                    "precision": precision,
                    "against": "bare loop on tensors in memory",
                    "images_per_s": statistics.median(a for a, _ in pairs),
                    "images_per_s_other": statistics.median(b for _, b in pairs),
                    "runs_other": runs,
                    "ratio": statistics.median(a / b for a, b in pairs),
                }
            )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backbone", default="alexnet_small")
    parser.add_argument("--input-size", type=int, default=64)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--n-images", type=int, default=1024)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    rows = measure(
        options.backbone, options.input_size, options.batch_size, options.n_images, options.runs
    )
    what = f"tuning, {options.backbone} at {options.input_size} px, batch {options.batch_size}"
    print(
        json.dumps({"rows": [{"what": f"{what}, {row.pop('precision')}", **row} for row in rows]})
    )


if __name__ == "__main__":
    main()
