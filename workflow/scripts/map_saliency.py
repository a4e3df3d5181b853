"""Map where networks of one method look."""

from cortune.jobs import run

run(snakemake)  # type: ignore[name-defined]  # noqa: F821
