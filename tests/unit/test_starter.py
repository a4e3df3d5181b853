"""Jobs in copies of a process that has the libraries loaded already."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from cortune import starter

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="copies are made on Linux only")

STARTER = """
import sys
import cortune.jobs
from cortune import starter
from work import work
cortune.jobs.run = work
starter.FIRST, starter._modules, starter.THEN = (), list, ()
starter.main(int(sys.argv[1]))
"""
JOB = """
import sys
from pathlib import Path
import cortune.jobs
from cortune import starter
from work import work
cortune.jobs.run = work
follow = starter._follow
starter._follow = lambda connection: (Path("asked").touch(), follow(connection))
starter.run({"how": sys.argv[1], "asked by": __import__("os").getpid()})
"""
WORK = '''
"""A job that does what it is told, and says so."""
import atexit, os, pathlib, signal, sys, time

def work(task):
    how, here = task["how"], os.getpid() == task["asked by"]
    atexit.register(print, "put in order", flush=True)
    pathlib.Path(f"pid-{how}").write_text(str(os.getpid()))
    print("here" if here else "copy", os.getcwd(), os.environ.get("COLOUR"))
    sys.stdout.flush()
    if how == "fails":
        sys.exit(3)
    if how == "raises":
        raise ValueError("what it says")
    if how == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if how in ("slow", "stopped"):
        pathlib.Path(how).touch()
        try:
            time.sleep(2 if how == "slow" else 60)
        except KeyboardInterrupt:
            print("stopped", flush=True)
            time.sleep(0.3)
            sys.exit(130)
        pathlib.Path("done").touch()
'''


class Running:
    """A starter whose jobs do what they are told, and what Snakemake would start for a job."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.name = f"cortune-of-{folder}"[-90:]
        (folder / "work.py").write_text(WORK)
        self.environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(folder), *sys.path])}
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(f"\0{self.name}")
            listener.listen()
            self.process = subprocess.Popen(
                [sys.executable, "-c", STARTER, str(listener.fileno())],
                stdin=subprocess.PIPE,
                pass_fds=[listener.fileno()],
                env=self.environment,
            )
        self.environment[starter.ADDRESS] = f"{self.name}:{starter._ours()}"
        self.environment["COLOUR"] = "green"

    def job(self, how: str, **changes: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", JOB, how],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.folder,
            env=self.environment | changes,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    def ended(self, how: str, **changes: str) -> tuple[int, str, str]:
        process = self.job(how, **changes)
        said, errors = process.communicate(timeout=60)
        return process.returncode, said, errors

    def begun(self, how: str) -> tuple[subprocess.Popen[str], int]:
        """A job that is at work, and the process that does the work."""
        process = self.job(how)
        wait_for((self.folder / how).exists)
        return process, int((self.folder / f"pid-{how}").read_text())


@pytest.fixture
def running(tmp_path):
    found = Running(tmp_path)
    yield found
    found.process.kill()
    found.process.communicate()


def wait_for(condition, seconds=30):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def is_gone(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    return True


def test_a_copy_does_the_job_in_the_place_of_who_asked(running):
    at_work = f"copy {running.folder} green\n"
    assert running.ended("ends") == (0, f"{at_work}put in order\n", "")
    assert running.ended("fails") == (3, f"{at_work}put in order\n", "")
    status, _, errors = running.ended("raises")
    assert status == 1 and errors.endswith("ValueError: what it says\n")
    status, said, _ = running.ended("killed")
    assert (status, said) == (-signal.SIGKILL, at_work)


def test_a_job_without_a_starter_does_the_work_itself(running):
    at_work = f"here {running.folder} green\n"
    for address in ("", "of-nobody:" + starter._ours(), f"{running.name}:/other"):
        _, said, _ = running.ended("ends", **{starter.ADDRESS: address})
        assert said.startswith(at_work), address


def test_ctrl_c_reaches_a_copy_once(running):
    process, _ = running.begun("stopped")
    process.send_signal(signal.SIGINT)
    said, errors = process.communicate(timeout=30)
    assert process.returncode == 130 and errors == ""
    assert said.endswith("stopped\nput in order\n")


def test_ctrl_c_is_not_lost_on_a_copy_that_is_yet_to_be_made(running):
    running.process.send_signal(signal.SIGSTOP)
    process = running.job("stopped")
    wait_for((running.folder / "asked").exists)
    process.send_signal(signal.SIGINT)
    time.sleep(0.2)
    running.process.send_signal(signal.SIGCONT)
    process.communicate(timeout=30)
    assert process.returncode == 130


def test_a_copy_dies_with_who_waits_for_it_and_with_the_starter(running):
    process, copy = running.begun("stopped")
    process.kill()
    process.communicate()
    wait_for(lambda: is_gone(copy))
    (running.folder / "stopped").unlink()
    process, copy = running.begun("stopped")
    running.process.kill()
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 1 and "run the same command again" in errors
    wait_for(lambda: is_gone(copy))


def test_a_starter_that_ends_before_it_has_looked_is_named(running):
    running.process.send_signal(signal.SIGSTOP)
    process = running.job("ends")
    wait_for((running.folder / "asked").exists)
    running.process.kill()
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 1 and "run the same command again" in errors
    assert "Traceback" not in errors


def test_a_job_and_who_waits_for_it_may_end_as_another_comes(running):
    process, copy = running.begun("stopped")
    (running.folder / "asked").unlink()
    running.process.send_signal(signal.SIGSTOP)
    os.kill(copy, signal.SIGKILL)
    wait_for(lambda: is_gone(copy))
    other = running.job("ends")
    wait_for((running.folder / "asked").exists)
    process.kill()
    process.communicate()
    running.process.send_signal(signal.SIGCONT)
    said, _ = other.communicate(timeout=30)
    assert other.returncode == 0 and said.startswith("copy")
    assert running.ended("ends")[1].startswith("copy")


def test_a_starter_that_is_left_alone_ends_after_its_jobs(running):
    process, _ = running.begun("slow")
    running.process.stdin.close()
    process.communicate(timeout=30)
    assert process.returncode == 0 and (running.folder / "done").exists()
    assert running.process.wait(30) == 0
    assert running.ended("ends")[1].startswith("here")


def test_a_copy_is_named_after_who_waits_for_it_and_measured_with_it(running):
    process, copy = running.begun("stopped")
    assert Path(f"/proc/{copy}/comm").read_text() == f"for {process.pid}\n"
    measure = (
        "import sys; from snakemake import benchmark; from cortune import starter\n"
        "starter._measure_copies(int(sys.argv[1]))\n"
        "timer = benchmark.BenchmarkTimer(int(sys.argv[2]), benchmark.BenchmarkRecord(), 30)\n"
        "print(*(process.pid for process in timer.main.children(recursive=True)))\n"
    )
    command = [sys.executable, "-c", measure, str(running.process.pid), str(process.pid)]
    assert subprocess.check_output(command, text=True).split() == [str(copy)]
    process.kill()
    process.communicate()


def test_the_starter_loads_what_it_says():
    names = [*starter.FIRST, *starter._modules(), *starter.THEN]
    assert "cortune.tuning.loop" in names
    load = "import sys; [__import__(name) for name in sys.argv[1:]]; import torch\n"
    # A copy could not use a GPU that was in use before it was made.
    load += "assert not torch.cuda.is_initialized()\nimport threading\n"
    load += "assert threading.active_count() == 1"
    subprocess.run([sys.executable, "-c", load, *names], check=True)


def test_a_starter_is_launched_once_and_ends_with_who_launched_it(tmp_path):
    program = (
        "import os, sys; from cortune import starter\n"
        "starter.launch(); first = os.environ[starter.ADDRESS]\n"
        "starter.launch(); assert os.environ[starter.ADDRESS] == first\n"
        "print(first.partition(':')[0], flush=True); sys.stdin.read()"
    )
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    environment.pop(starter.ADDRESS, None)
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=pipe, stdout=pipe, text=True, env=environment
    ) as launcher:
        name = launcher.stdout.readline().strip()
        assert is_heard(name) and list(tmp_path.iterdir()) == []
        launcher.kill()
    wait_for(lambda: not is_heard(name))
    assert list(tmp_path.iterdir()) == []


def is_heard(name: str) -> bool:
    return f"@{name}\n" in Path("/proc/net/unix").read_text()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
def test_starters_and_jobs_of_other_users_are_not_trusted(running):
    nobody = 65534
    with socket.socket(socket.AF_UNIX) as stranger, tempfile.TemporaryFile() as task:
        os.seteuid(nobody)
        try:
            stranger.connect(f"\0{running.name}")
        finally:
            os.seteuid(0)
        with contextlib.suppress(BrokenPipeError):
            socket.send_fds(stranger, [b"1"], [0, 1, 2, task.fileno()])
        with contextlib.suppress(ConnectionResetError):
            assert stranger.recv(1) == b""
    assert running.ended("ends")[1].startswith("copy")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("\0cortune-of-nobody")
        os.seteuid(nobody)
        try:
            listener.listen()
        finally:
            os.seteuid(0)
        address = f"cortune-of-nobody:{starter._ours()}"
        said = running.ended("ends", **{starter.ADDRESS: address})[1]
    assert said.startswith("here")
