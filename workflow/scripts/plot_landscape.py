"""Draw the landscape of networks."""

from cortune.starter import run

run(snakemake)  # type: ignore[name-defined]  # noqa: F821
