"""Place all networks in one landscape."""

from cortune.starter import run

run(snakemake)  # type: ignore[name-defined]  # noqa: F821
