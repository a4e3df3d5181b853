"""Train the backbone on labelled simulated scenes."""

from cortune.jobs import run

run(snakemake)  # type: ignore[name-defined]  # noqa: F821
