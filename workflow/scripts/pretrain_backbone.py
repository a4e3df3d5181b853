"""Train the backbone on labelled simulated scenes."""

from cortune.starter import run

run(snakemake)  # type: ignore[name-defined]  # noqa: F821
