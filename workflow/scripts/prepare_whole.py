"""Read the responses of a whole hemisphere from the raw layout."""

from cortune.starter import run

run(snakemake)  # type: ignore[name-defined]  # noqa: F821
