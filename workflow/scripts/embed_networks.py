"""Place all networks in one landscape."""

from cortune.jobs import run

run(snakemake)  # type: ignore[name-defined]  # noqa: F821
