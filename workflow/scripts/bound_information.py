"""Bound the information of all tuned networks."""

from cortune.jobs import run

run(snakemake)  # type: ignore[name-defined]  # noqa: F821
