"""Write one subject of a simulated data set in the layout of Algonauts 2023."""

from cortune.starter import run

run(snakemake)  # type: ignore[name-defined]  # noqa: F821
