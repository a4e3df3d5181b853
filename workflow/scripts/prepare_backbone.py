"""Load the backbone's weights."""

from cortune.jobs import run

run(snakemake)  # type: ignore[name-defined]  # noqa: F821
