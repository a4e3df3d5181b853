"""Loading processes: the same batches, and no wait for shared memory that is not there."""

import os
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest

from cortune.tuning.batches import Batches

IMAGES = np.arange(40 * 8 * 8 * 3, dtype=np.int64).astype(np.uint8).reshape(40, 8, 8, 3)


def batches(workers):
    targets = np.arange(40, dtype=np.float32)[:, None]
    return Batches(IMAGES, np.arange(40), targets, batch_size=16, seed=0, workers=workers)


def test_workers_load_the_same_batches():
    alone, helped = (list(batches(workers).epoch(3)) for workers in (0, 2))
    assert [len(images) for images, _ in alone] == [16, 16, 8]
    for (a, s), (b, t) in zip(alone, helped, strict=True):
        assert a.equal(b) and s.equal(t)


@pytest.mark.skipif(
    os.getuid() != 0 or shutil.which("unshare") is None,
    reason="mounts a small /dev/shm: needs root",
)
def test_small_shared_memory_is_said_at_once():
    script = (
        "import numpy as np; from cortune.tuning.batches import Batches; "
        "b = Batches(np.zeros((512, 64, 64, 3), np.uint8), np.arange(512), "
        "np.zeros((512, 10), np.float32), batch_size=256, seed=0, workers=2); list(b.epoch(0))"
    )
    mount = f"mount -t tmpfs -o size=2M tmpfs /dev/shm && exec {sys.executable} -c '{script}'"
    began = time.monotonic()
    done = subprocess.run(["unshare", "-m", "sh", "-c", mount], capture_output=True, text=True)
    if "unshare" in done.stderr or "mount" in done.stderr:
        pytest.skip(f"no mount namespace here: {done.stderr.strip()}")
    assert done.returncode == 1 and time.monotonic() - began < 60
    assert "ResourceError: tuning.workers: found 2.1 MB of shared memory (/dev/shm)" in done.stderr
    assert "expected 6.31 MB" in done.stderr and "--shm-size" in done.stderr
