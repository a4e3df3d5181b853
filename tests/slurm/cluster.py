"""A real SLURM of two nodes on this machine: one with CPUs, one with two pretend GPUs.

Without systemd, cgroups and an accounting database, on the loopback interface alone; all its
files lie in one folder, except the links in /etc/slurm, which are removed at the end.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import stat
import subprocess
import time
from pathlib import Path

COMMANDS = ("slurmctld", "slurmd", "munged", "sbatch", "squeue", "scancel", "scontrol", "sinfo")
ETC = Path("/etc/slurm")
CONFIGURATION = """\
ClusterName=cortune
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=1
JobAcctGatherParams=OverMemoryKill
AccountingStorageType=accounting_storage/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=sched_interval=1,batch_sched_delay=0,bf_interval=1
ReturnToService=2
MinJobAge=300
KillWait=2
InactiveLimit=0
GresTypes=gpu
SlurmdParameters=config_overrides
NodeName=DEFAULT CPUs=8 RealMemory=64000
NodeName=cpu1 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]}
NodeName=gpu1 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} Gres=gpu:2
PartitionName=cpu Nodes=cpu1 Default=YES MaxTime=INFINITE State=UP
PartitionName=gpu Nodes=gpu1 MaxTime=INFINITE State=UP
"""
DEVICES = """\
AutoDetect=off
NodeName=gpu1 Name=gpu File={folder}/gpu[0-1]
"""


def unavailable() -> str | None:
    """Return why no SLURM can be brought up here, or None."""
    if os.geteuid() != 0:
        return "needs root, to run SLURM's daemons"
    missing = [command for command in COMMANDS if shutil.which(command) is None]
    if missing:
        return f"needs {', '.join(missing)}: run tests/slurm/install.sh (Debian)"
    if any((ETC / name).exists() for name in ("slurm.conf", "gres.conf")):
        return f"{ETC} holds the configuration of another SLURM"
    return None


class Cluster:
    """A SLURM that lives in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def start(self) -> None:
        """Write the configuration, start the daemons, and wait until both nodes are idle."""
        self.folder.mkdir(parents=True)
        # munged refuses a socket in a folder that others may write to.
        self.folder.chmod(0o755)
        (self.folder / "state").mkdir()
        names = {"folder": self.folder, "host": socket.gethostname(), "ports": _free_ports(3)}
        for index in range(2):
            # Regular files would leave CUDA_VISIBLE_DEVICES unset.
            os.mknod(self.folder / f"gpu{index}", stat.S_IFCHR, os.makedev(1, 3))
            (self.folder / f"gpu{index}").chmod(0o666)
        ETC.mkdir(exist_ok=True)
        for name, text in (("slurm.conf", CONFIGURATION), ("gres.conf", DEVICES)):
            (self.folder / name).write_text(text.format(**names))
            (ETC / name).symlink_to(self.folder / name)
        self._start_munge()
        self.start_controller()
        for node in ("cpu1", "gpu1"):
            subprocess.run(["slurmd", "-N", node], check=True)
        wait_for(lambda: _said("sinfo", "-h", "-N", "-o", "%T").split() == ["idle", "idle"], 30)

    def stop(self) -> None:
        """Stop the daemons and remove the links."""
        for name in ("slurmd-gpu1", "slurmd-cpu1", "slurmctld", "munged"):
            self._kill(name)
        for name in ("slurm.conf", "gres.conf"):
            (ETC / name).unlink(missing_ok=True)

    def start_controller(self) -> None:
        """Start slurmctld; it recovers the state that it saved."""
        subprocess.run(["slurmctld"], check=True)
        wait_for(lambda: "UP" in _said("scontrol", "ping"), 30)

    def stop_controller(self) -> None:
        """Stop slurmctld; it saves its state, which a crash would lose some seconds of."""
        self._kill("slurmctld")

    def jobs(self) -> dict[str, tuple[str, str]]:
        """Return the state and the rule of every job that SLURM remembers."""
        lines = _said("squeue", "-h", "-t", "all", "-o", "%i|%T|%k").splitlines()
        found = (line.split("|", 2) for line in lines)
        return {number: (state, comment) for number, state, comment in found}

    def running(self, rule: str) -> list[str]:
        """Return the jobs of a rule whose work has begun: the step within the batch script."""
        steps = _said("squeue", "-h", "-s", "-o", "%i").split()
        jobs = self.jobs().items()
        return [n for n, (_, of) in jobs if rule in of and f"{n}.0" in steps]

    def _start_munge(self) -> None:
        secret = self.folder / "munge"
        secret.mkdir()
        (secret / "key").write_bytes(secrets.token_bytes(1024))
        (secret / "key").chmod(0o400)
        secret.chmod(0o700)
        for path in (secret, secret / "key"):
            shutil.chown(path, "munge", "munge")
        shutil.chown(self.folder, "munge", "munge")
        identity = ["setpriv", "--reuid=munge", "--regid=munge", "--clear-groups"]
        files = {
            "key-file": secret / "key",
            "socket": self.folder / "munge.socket",
            "pid-file": self.folder / "munged.pid",
            "log-file": self.folder / "munged.log",
            "seed-file": self.folder / "munged.seed",
        }
        options = [f"--{name}={path}" for name, path in files.items()]
        subprocess.run([*identity, "munged", *options], check=True)

    def _kill(self, name: str) -> None:
        """Stop the daemon of a pid file, if that is what runs under its number."""
        path = self.folder / f"{name}.pid"
        if not path.exists():
            return
        process = Path("/proc", path.read_text().strip())
        command = name.split("-")[0]

        def alive() -> bool:
            try:
                return (process / "comm").read_text().strip() == command
            except OSError:
                return False

        if alive():
            os.kill(int(process.name), signal.SIGTERM)
            wait_for(lambda: not alive(), 30)


def wait_for(condition, seconds: float):
    """Wait until something holds, and return what was found.

    Raises
    ------
    TimeoutError
        If it does not in time.
    """
    end = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > end:
            raise TimeoutError(f"not within {seconds} s")
        time.sleep(0.2)
    return found


def _said(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True).stdout


def _free_ports(n: int) -> list[int]:
    sockets = [socket.socket() for _ in range(n)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports
