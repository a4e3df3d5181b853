"""Compare the networks of a subject."""

from cortune.starter import run

run(snakemake)  # type: ignore[name-defined]  # noqa: F821
