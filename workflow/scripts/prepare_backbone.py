"""Load the backbone's weights."""

from cortune.starter import run

run(snakemake)  # type: ignore[name-defined]  # noqa: F821
