#!/bin/sh
# Installs SLURM's daemons and commands, which do not start by themselves. For Debian, as root.
set -eu
if ! command -v apt-get >/dev/null || [ "$(id -u)" -ne 0 ]; then
    echo "tests/slurm/install.sh: needs Debian's apt-get and root; install SLURM and munge yourself." >&2
    exit 1
fi
command -v slurmctld >/dev/null && command -v slurmd >/dev/null && command -v munged >/dev/null && exit 0
apt-get update -q
DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends \
    slurmctld slurmd slurm-client munge
