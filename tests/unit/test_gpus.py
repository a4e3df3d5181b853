"""Which GPU a job takes: pretend GPUs, real processes and locks."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from cortune.networks.device import choose_runtime
from cortune.networks.gpus import identities, lock_folder, take_device

JOB = """
import logging, sys
from pathlib import Path
from cortune.networks.gpus import take_device
logging.basicConfig(level=logging.INFO, format="%(message)s")
folder, *devices = sys.argv[1:]
index = take_device(devices, Path(folder))
assert take_device(devices, Path(folder)) == index, "a process has one GPU"
print(devices[index], flush=True)
sys.stdin.read()
"""


class Process:
    """A job that takes a GPU and keeps it."""

    def __init__(self, folder, devices):
        self.child = subprocess.Popen(
            [sys.executable, "-c", JOB, str(folder), *devices],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    @property
    def device(self):
        if not hasattr(self, "_device"):
            self._device = self.child.stdout.readline().strip()
        return self._device

    def stop(self, sign=None):
        """End it, by itself or by a signal; return what it logged."""
        if sign is not None:
            os.kill(self.child.pid, sign)
        return self.child.communicate()[1]


@contextmanager
def running(folder, devices, n):
    started = [Process(folder, devices) for _ in range(n)]
    try:
        yield started
    finally:
        for process in started:
            process.child.kill()
            process.child.communicate()


def test_jobs_that_start_at_once_take_different_gpus(tmp_path):
    devices = [f"GPU-{index}" for index in range(6)]
    with running(tmp_path, devices, 6) as jobs:
        assert sorted(job.device for job in jobs) == devices
        assert all("takes GPU" in job.stop() for job in jobs)


@pytest.mark.parametrize("sign", [None, signal.SIGTERM, signal.SIGKILL])
def test_a_gpu_is_free_when_its_job_has_ended_however_it_ended(tmp_path, sign):
    with running(tmp_path, ["a", "b", "c"], 3) as jobs:
        assert {job.device for job in jobs} == {"a", "b", "c"}
        jobs[1].stop(sign)
        with running(tmp_path, ["a", "b", "c"], 1) as later:
            assert later[0].device == jobs[1].device
            assert "takes GPU" in later[0].stop()


def test_more_jobs_than_gpus_share_evenly_and_say_so(tmp_path):
    with running(tmp_path, ["a", "b"], 4) as jobs:
        assert sorted(job.device for job in jobs) == ["a", "a", "b", "b"]
        for job in jobs:
            if job.device == "b":
                job.stop(signal.SIGKILL)
        with running(tmp_path, ["a", "b"], 2) as later:
            assert [job.device for job in later] == ["b", "b"]
            logged = [job.stop() for job in later]
    assert sorted("takes GPU" in text for text in logged) == [False, True]
    assert any("all 2 GPUs are taken" in text and "--resources gpu=2" in text for text in logged)


def test_a_job_that_sees_one_gpu_is_counted_by_those_that_see_more(tmp_path):
    with running(tmp_path, ["b"], 1) as one:
        assert one[0].device == "b"
        with running(tmp_path, ["b", "a"], 1) as more:
            assert more[0].device == "a"


def test_gpus_are_told_apart_by_what_they_are_not_by_their_number():
    uuids = [SimpleNamespace(uuid=f"GPU-{index}") for index in "xy"]
    assert identities(uuids, "3,1") == ["GPU-x", "GPU-y"]
    unknown = [SimpleNamespace(), SimpleNamespace()]
    assert identities(unknown, "3, 1") == ["3", "1"]
    assert identities(unknown, None) == identities(unknown, "") == ["0", "1"]


def test_a_runtime_is_on_the_gpu_that_no_other_job_has(tmp_path, monkeypatch):
    torch = pytest.importorskip("torch")
    properties = [SimpleNamespace(uuid=f"GPU-of-this-test-{index}") for index in range(2)]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_properties", properties.__getitem__)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda emulated: False)
    chosen = []
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    try:
        with running(lock_folder(), [each.uuid for each in properties], 1) as other:
            assert other[0].device == "GPU-of-this-test-0"
            assert str(choose_runtime("auto").device) == "cuda:1"
            assert choose_runtime("cuda").array_device == "cuda:1"
            assert str(choose_runtime("cuda:0").device) == "cuda:0", "asked for by number"
            assert chosen == [1, 1]
    finally:
        torch.use_deterministic_algorithms(False)


def test_the_locks_are_of_one_user_and_host():
    assert str(os.getuid()) in lock_folder().name


def test_without_locks_the_first_gpu_is_taken(tmp_path, caplog):
    (tmp_path / "file").touch()
    assert take_device(["x", "y"], tmp_path / "file" / "locks") == 0
    assert "taking the first GPU" in caplog.text
