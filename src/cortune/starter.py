"""Jobs on this machine start from a process that has the libraries loaded already.

Loading torch and the rest takes seconds, longer than most jobs of a small run work. The process
that plans a run therefore starts another, the starter, which loads them once. What Snakemake
starts for a job asks it for a copy of itself (a fork), which does the job in its place: in its
folder and environment, with its output and its signals, for as long as it lives, and with the
status that it then ends with. A job that finds no starter, as on a cluster, loads what it needs
and computes the same.

Only the standard library is imported here: this is what every job loads by itself.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import gc
import importlib
import multiprocessing
import os
import pickle
import pkgutil
import secrets
import selectors
import signal
import socket
import struct
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from multiprocessing.context import ForkProcess

ADDRESS = "CORTUNE_STARTER"
"""Variable of the environment: where the starter listens, and whose jobs it takes."""
FIRST = ("cortune.jobs", "snakemake.iocontainers", "torch")
"""What is loaded before the first job starts."""
THEN = (
    "h5py",
    "scipy.stats",
    "pandas",
    "torchvision.models",
    "safetensors.torch",
    "sklearn.linear_model",
    "pyarrow.parquet",
    "nibabel",
    "matplotlib.figure",
    "captum.attr",
)
"""What is loaded while jobs are at work, after all of Cortune: a run is of one code, which may be
changed meanwhile."""
_DIES_WITH_PARENT = 1  # PR_SET_PDEATHSIG of prctl.h
_INTEGER = 4  # bytes of a status
_PEER = struct.Struct("3i")  # process, user and group: ucred of socket.h
_FORK = multiprocessing.get_context("fork")
_LIFELINE = 0  # standard input
_lifelines: list[int] = []  # held open until this process ends, however it ends


def launch() -> None:
    """Launch the starter for the jobs of this process; it ends with this process and them.

    Only on Linux: elsewhere there are no copies of processes, or they are unsafe; and not where
    the environment names one already, or none (``CORTUNE_STARTER=``).
    """
    if sys.platform != "linux" or ADDRESS in os.environ:
        return
    name = f"cortune-{secrets.token_hex(8)}"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"\0{name}")  # no file, so that nothing is left behind
        listener.listen(128)
        lifeline, held = os.pipe()
        _lifelines.append(held)
        process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM, str(listener.fileno()), *sys.path],
            stdin=lifeline,
            pass_fds=[listener.fileno()],
            # Read when OpenMP is loaded: see cortune.jobs.
            env={"GOMP_SPINCOUNT": "10000", **os.environ},
        )
        os.close(lifeline)
    os.environ[ADDRESS] = f"{name}:{_ours()}"
    _measure_copies(process.pid)


_PROGRAM = (
    "import sys; listener, *sys.path = sys.argv[1:]; "
    "from cortune.starter import main; main(int(listener))"
)


def run(snakemake: Any) -> None:
    """Run a job of the workflow, in a copy of the starter where there is one.

    Parameters
    ----------
    snakemake : object
        The object that Snakemake puts into a script.
    """
    name, _, whose = os.environ.get(ADDRESS, "").partition(":")
    with socket.socket(socket.AF_UNIX) as starter:
        if whose == _ours() and _asked(starter, name, snakemake):
            _follow(starter)
    from cortune.jobs import run as run_here

    run_here(snakemake)


def _ours() -> str:
    """Return which Python and which Cortune this is: a rule may have an environment of its own."""
    return f"{sys.prefix}:{__file__}"


def _is_mine(other: socket.socket) -> bool:
    """Return whether a process of this user is at the other end: anybody may find the name."""
    peer = other.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size)
    return bool(_PEER.unpack(peer)[1] == os.geteuid())


def _asked(starter: socket.socket, name: str, snakemake: Any) -> bool:
    """Ask the starter to have a job done; return whether there is one."""
    heeds = signal.getsignal(signal.SIGINT) is not signal.SIG_IGN
    with tempfile.TemporaryFile() as task:
        # In two parts: what the second is made of is found by the path in the first.
        for part in ((Path.cwd(), dict(os.environ), sys.path, heeds), snakemake):
            pickle.dump(part, task)
        task.seek(0)
        try:
            starter.connect(f"\0{name}")
        except OSError:
            return False
        if not _is_mine(starter):
            return False
        socket.send_fds(starter, [str(os.getpid()).encode()], [0, 1, 2, task.fileno()])
    if heeds:
        signal.signal(signal.SIGINT, lambda number, _: starter.send(bytes([number])))
    return True


def _follow(starter: socket.socket) -> NoReturn:
    """Wait for the copy that does the job, and end as it ends."""
    status = b""
    with contextlib.suppress(ConnectionResetError):  # it has not even read what was asked
        status = starter.recv(_INTEGER)
    if not status:
        sys.exit("ERROR the process that starts jobs has ended; run the same command again")
    code = int.from_bytes(status, "little", signed=True)
    if code < 0:  # killed, perhaps by a kernel short of memory
        with contextlib.suppress(OSError):  # SIGKILL cannot be set
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    sys.exit(code)


def main(listener: int) -> None:
    """Be the starter.

    Parameters
    ----------
    listener : int
        Descriptor of the socket that jobs come to. Standard input ends with the process whose
        jobs they are.
    """
    # Copies inherit that it waits, and take it when they can.
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    for name in FIRST:
        importlib.import_module(name)
    _Starter(socket.socket(fileno=listener)).serve()
    os._exit(0)  # at once: there is nothing to put in order


def _modules() -> list[str]:
    """Return the names of Cortune's modules."""
    import cortune

    found = (module.name for module in pkgutil.walk_packages(cortune.__path__, "cortune."))
    return [name for name in found if not name.endswith("__main__")]


class _Starter:
    """Makes copies of this process, and watches over them."""

    def __init__(self, door: socket.socket) -> None:
        self._door = door
        self._later = [*_modules(), *THEN]
        self._copies: dict[ForkProcess, socket.socket] = {}  # and who waits for them
        self._events = selectors.DefaultSelector()

    def serve(self) -> None:
        """Serve until those whose jobs they are have ended."""
        self._events.register(self._door, selectors.EVENT_READ, self._copy)
        self._events.register(_LIFELINE, selectors.EVENT_READ, self._left_alone)
        while self._copies or _LIFELINE in self._events.get_map():
            ready = self._events.select(0 if self._later else None)
            if not ready:
                # A job that needs what cannot be loaded says so.
                with contextlib.suppress(Exception):
                    importlib.import_module(self._later.pop(0))
            for key, _ in ready:
                # One that went before may have ended this one; its number may be another's now.
                if self._events.get_map().get(key.fd) is key:
                    key.data()

    def _left_alone(self) -> None:
        self._events.unregister(_LIFELINE)
        self._later.clear()

    def _copy(self) -> None:
        connection = self._door.accept()[0]
        descriptors: list[int] = []
        if _is_mine(connection):
            client, descriptors, *_ = socket.recv_fds(connection, 32, 4)
        if len(descriptors) < 4:  # not, or killed while it asked
            connection.close()
            return
        gc.freeze()  # what copies have in common they need not look through
        inherited = [self._door, connection, *self._copies.values()]
        task = (int(client), descriptors, inherited, os.getpid())
        copy = _FORK.Process(target=_do_the_job, args=task)
        copy.start()
        for descriptor in descriptors:
            os.close(descriptor)
        self._copies[copy] = connection
        self._events.register(copy.sentinel, selectors.EVENT_READ, partial(self._ended, copy))
        self._events.register(connection, selectors.EVENT_READ, partial(self._told, copy))

    def _told(self, copy: ForkProcess) -> None:
        """Pass on a signal; who is gone was killed, and what it waited for is killed too."""
        message = b""
        with contextlib.suppress(OSError):
            message = self._copies[copy].recv(1)
        if message:
            os.kill(int(copy.pid or 0), message[0])
        else:
            copy.kill()
            self._events.unregister(self._copies[copy])

    def _ended(self, copy: ForkProcess) -> None:
        self._events.unregister(copy.sentinel)
        copy.join()
        connection = self._copies.pop(copy)
        with contextlib.suppress(KeyError):
            self._events.unregister(connection)
        with connection, contextlib.suppress(OSError):
            connection.send(int(copy.exitcode or 0).to_bytes(_INTEGER, "little", signed=True))
        copy.close()


def _do_the_job(
    client: int, descriptors: list[int], inherited: list[socket.socket], starter: int
) -> None:
    """Do, in a copy of the starter, the job of the process that asked for it."""
    # Out of reach of a terminal: signals come by way of who asked.
    os.setpgid(0, 0)
    ctypes.CDLL(None).prctl(_DIES_WITH_PARENT, signal.SIGKILL)
    if os.getppid() != starter:
        return
    Path("/proc/self/comm").write_text(_name(client))
    for other in inherited:
        other.close()
    *standard, task = descriptors
    for number, descriptor in enumerate(standard):
        os.dup2(descriptor, number)
        os.close(descriptor)
    with os.fdopen(task, "rb") as parts:
        folder, environment, sys.path[:], heeds = pickle.load(parts)
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(environment)
        snakemake = pickle.load(parts)
    signal.signal(signal.SIGINT, signal.default_int_handler if heeds else signal.SIG_IGN)
    from cortune.jobs import INTERRUPTED, run

    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
        run(snakemake)
    except KeyboardInterrupt:  # before it could say so
        sys.exit(INTERRUPTED)
    finally:
        # Before the end at once of a copy: to free all that was loaded takes half a second.
        atexit._run_exitfuncs()


def _name(client: int) -> str:
    return f"for {client}"


def _measure_copies(starter: int) -> None:
    """Have Snakemake's benchmarks count a copy among the processes of the job that it does."""
    import psutil
    from snakemake import benchmark

    make = benchmark.BenchmarkTimer

    def timer(*arguments: Any) -> Any:
        made = make(*arguments)
        find = made.main.children

        def children(recursive: bool = False) -> list[Any]:
            found = list(find(recursive))
            names = {_name(process.pid) for process in (made.main, *found)}
            with contextlib.suppress(psutil.NoSuchProcess):
                found += [c for c in psutil.Process(starter).children() if c.name() in names]
            return found

        made.main.children = children
        return made

    benchmark.BenchmarkTimer = timer
