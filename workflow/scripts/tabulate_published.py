"""Set the published accuracies beside this run."""

from cortune.starter import run

run(snakemake)  # type: ignore[name-defined]  # noqa: F821
