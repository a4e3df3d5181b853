"""Draw the similarities."""

from cortune.starter import run

run(snakemake)  # type: ignore[name-defined]  # noqa: F821
