"""Write one subject of a simulated NOD."""

from cortune.jobs import run

run(snakemake)  # type: ignore[name-defined]  # noqa: F821
