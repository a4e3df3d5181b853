"""Map where networks of one method look."""

from cortune.starter import run

run(snakemake)  # type: ignore[name-defined]  # noqa: F821
