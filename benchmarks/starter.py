"""What it saves that jobs start from a process with the libraries loaded (`cortune.starter`).

``python benchmarks/starter.py FOLDER --configfile config/config.yaml config/quick.yaml`` runs a
configuration twice, each time in a new folder: so, and with every job loading what it needs.
Prints seconds of both and their ratio, and fails if the tables differ. Nothing else should
compute meanwhile.
"""

from __future__ import annotations

import argparse
import filecmp
import os
import subprocess
import sys
import time
from pathlib import Path

from cortune.starter import ADDRESS

REPOSITORY = Path(__file__).resolve().parents[1]


def seconds(folder: Path, configfiles: list[Path], environment: dict[str, str]) -> float:
    """Run a configuration in a new folder; return how long it took."""
    folder.mkdir(parents=True)
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(REPOSITORY / "Snakefile")]
    command += ["--directory", str(folder), "--cores", "all", "--configfile"]
    began = time.perf_counter()
    subprocess.run([*command, *map(str, configfiles)], check=True, env=environment)
    return time.perf_counter() - began


def main() -> None:
    """Run both and compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument(
        "--configfile", type=Path, nargs="+", default=[REPOSITORY / "config" / "config.yaml"]
    )
    arguments = parser.parse_args()
    files = [path.resolve() for path in arguments.configfile]
    environment = {key: value for key, value in os.environ.items() if key != ADDRESS}
    folders = [arguments.folder.resolve() / name for name in ("one", "each")]
    ours = seconds(folders[0], files, environment)
    theirs = seconds(folders[1], files, environment | {ADDRESS: ""})
    tables = [folder / "results" / "latest" / "tables" for folder in folders]
    names = sorted(path.name for path in tables[0].iterdir())
    _, other, missing = filecmp.cmpfiles(*tables, names, shallow=False)
    if other or missing:
        sys.exit(f"other tables: {[*other, *missing]}")
    print(f"one process that starts jobs: {ours:.0f} s; each job by itself: {theirs:.0f} s")
    print(f"ratio {theirs / ours:.2f}; {len(names)} files of tables equal to the byte")


if __name__ == "__main__":
    main()
