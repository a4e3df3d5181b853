from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from cortune.errors import ResourceError
from cortune.lock import hold

HOLDER = """
import sys, time
from cortune.lock import hold
hold(sys.argv[1])
print("held", flush=True)
time.sleep(60)
"""


def test_one_run_at_a_time_until_it_is_killed(tmp_path):
    command = [sys.executable, "-c", HOLDER, str(tmp_path / "results")]
    holder = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(ResourceError, match=f"found process {holder.pid} on .* one run"):
            hold(tmp_path / "results")
        os.kill(holder.pid, signal.SIGKILL)
        holder.wait()
        for _ in range(50):  # the kernel takes a moment
            try:
                hold(tmp_path / "results")
                return
            except ResourceError:
                time.sleep(0.1)
        pytest.fail("a killed process still holds the folder")
    finally:
        holder.kill()
        holder.wait()


def test_a_file_in_place_of_the_folder(tmp_path):
    (tmp_path / "results").touch()
    with pytest.raises(ResourceError, match="cannot be written to"):
        hold(tmp_path / "results")
