"""Write one subject of a simulated raw NSD."""

from cortune.jobs import run

run(snakemake)  # type: ignore[name-defined]  # noqa: F821
