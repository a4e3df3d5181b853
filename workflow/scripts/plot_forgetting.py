"""Draw what tuning gains against what it forgets."""

from cortune.jobs import run

run(snakemake)  # type: ignore[name-defined]  # noqa: F821
