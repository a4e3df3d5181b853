"""Draw the encoding scores on the cortical surface."""

from cortune.starter import run

run(snakemake)  # type: ignore[name-defined]  # noqa: F821
