"""Write what belongs to no subject of a simulated data set."""

from cortune.jobs import run

run(snakemake)  # type: ignore[name-defined]  # noqa: F821
