"""The landscape of all networks by their predictions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cortune.stages.declare import From, figure, stage, table
from cortune.stages.probes import PROBED

if TYPE_CHECKING:
    from cortune.jobs import Job
    from cortune.project import Project


def _has_landscape(project: Project) -> bool:
    return bool(project.probes) and project.config.landscape is not None


@stage(
    number=4,
    reads=("seed", "landscape"),
    inputs={"probes": PROBED},
    outputs={
        "tests": table("landscape_tests.csv", "Landscape"),
        "landscape": table("landscape.csv", "Landscape"),
        "axes": table("landscape_axes.csv", "Landscape"),
        "dissimilarity": table("dissimilarity.csv", "Landscape"),
    },
    when=_has_landscape,
)
def embed_networks(job: Job) -> None:
    """Place all networks in a landscape of their predictions."""
    from cortune.landscape import Settings
    from cortune.landscape import embed_networks as embed

    landscape = job.config.landscape
    embed(
        job.files("probes", "*probe.h5"),
        job.output,
        job.provenance(),
        Settings(tuple(landscape.methods), landscape.n_permutations),
    )


@stage(
    number=1,
    inputs={
        "landscape": From("embed_networks", "landscape"),
        "dissimilarity": From("embed_networks", "dissimilarity"),
    },
    outputs={
        "inpca": figure(
            "landscape_inpca.png",
            "Landscape",
            "Networks on the first axes of inPCA, with truth and ignorance.",
            "All networks placed by how differently they predict the classes of the probes "
            "(Bhattacharyya dissimilarity, inPCA), with the truth and ignorance above and "
            "without them below. Face: ROI; edge: method; shape: hemisphere; replicates are "
            "points of their own. Axes with a "
            "negative eigenvalue are imaginary and labelled so: along them, points apart lie "
            "closer.",
        ),
        "spaces": figure(
            "landscape_spaces.png",
            "Landscape",
            "The same in the other spaces.",
            "The same dissimilarities in other spaces, with the truth and ignorance above and "
            "without them below. Face: ROI; edge: method; shape: hemisphere.",
        ),
        "clusters": figure(
            "landscape_clusters.png",
            "Landscape",
            "Dissimilarities, clustered.",
            "Bhattacharyya dissimilarity of every two networks, in the order of an average- "
            "linkage tree. Tests that networks of one ROI, hemisphere, subject or method lie "
            "close are in landscape_tests.csv.",
        ),
    },
    when=_has_landscape,
)
def plot_landscape(job: Job) -> None:
    """Draw inPCA, the other spaces, and the distances clustered."""
    from cortune.report.landscape_figures import plot_landscape as plot

    plot(job.input.landscape, job.input.dissimilarity, job.output, job.provenance())
