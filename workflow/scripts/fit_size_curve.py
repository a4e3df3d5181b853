"""Fit encoding models on growing numbers of images (rule fit_size_curve)."""

from cortune.encoding.curves import fit_size_curve
from cortune.jobs import Job, run


def main(job: Job) -> None:
    """Write the unit's scores by number of images."""
    encoding = job.config.encoding
    fit_size_curve(
        job.input.grams,
        job.input.responses,
        job.wildcards.roi,
        job.output.curve,
        job.provenance(),
        job.encoding_settings(),
        sizes=encoding.size_curve.sizes,
        n_folds=encoding.folds,
    )


if __name__ == "__main__":
    run(snakemake, main)  # type: ignore[name-defined]  # noqa: F821
