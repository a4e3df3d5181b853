"""Linear probes: multinomial logistic regression on standardised features of one layer."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cortune.artifacts import PathLike, hdf5_reader, hdf5_writer
from cortune.errors import InputError
from cortune.features import extract_layers
from cortune.networks.device import Runtime
from cortune.probes.prepare import ProbeImages
from cortune.seeds import rng
from cortune.versions import Provenance

Floats = NDArray[np.float64]
N_FOLDS = 3
"""In which the penalty is chosen."""


@dataclass(frozen=True)
class NetworkLabel:
    """What a network is called in tables; empty where an entity does not apply.

    Parameters
    ----------
    model : str
        Unique among networks.
    dataset, subject, hemisphere, roi : str
        What it was tuned on; a pooled network has no subject, the untuned one has none of
        them but the data set.
    method : str
    replicate : str
        Which of the networks of its unit and method, from 0.
    """

    model: str
    dataset: str = ""
    subject: str = ""
    hemisphere: str = ""
    roi: str = ""
    method: str = ""
    replicate: str = "0"


@dataclass(frozen=True)
class ProbeJob:
    """A network to probe and where its artifact goes."""

    label: NetworkLabel
    network: PathLike
    output: PathLike


@dataclass(frozen=True, eq=False)
class LinearProbe:
    """Multinomial logistic regression, the standardisation folded in.

    Parameters
    ----------
    weights : array (n_classes, n_features), float64
    bias : array (n_classes,), float64
        Logits are ``weights @ x + bias`` for raw features x.
    penalty : float
        The L2 penalty, as a multiple of scikit-learn's default.
    n_iter : int
        Iterations of L-BFGS.
    converged : bool
    tokens : str
        What of the layer's tokens x are.
    """

    weights: Floats
    bias: Floats
    penalty: float
    n_iter: int
    converged: bool
    tokens: str = "all"

    def log_probabilities(self, features: NDArray[np.floating]) -> Floats:
        """Return logarithms of class probabilities (n_images, n_classes) of raw features."""
        from scipy.special import log_softmax

        logits = np.asarray(features, np.float64) @ self.weights.T + self.bias
        return np.asarray(log_softmax(logits, axis=1))


@dataclass(frozen=True, eq=False)
class ProbeResult:
    """A probe of one network, as :func:`probe_networks` wrote it.

    Parameters
    ----------
    label : NetworkLabel
    probe, layer : str
    classes : tuple of str
    linear : LinearProbe
    log_probabilities : array (n_test, n_classes), float32
    labels : array (n_test,), int64
    test_rows : array (n_test,), int64
        Rows of the probe's cache.
    n_train : int
    """

    label: NetworkLabel
    probe: str
    layer: str
    classes: tuple[str, ...]
    linear: LinearProbe
    log_probabilities: NDArray[np.float32]
    labels: NDArray[np.int64]
    test_rows: NDArray[np.int64]
    n_train: int

    @property
    def n_correct(self) -> int:
        """Test images whose most probable class is their own."""
        return int((self.log_probabilities.argmax(1) == self.labels).sum())


def fit_probe(
    features: NDArray[np.float32],
    labels: NDArray[np.int64],
    *,
    penalties: Sequence[float] = (1.0,),
    max_iter: int = 1000,
    seed: int = 0,
) -> LinearProbe:
    """Standardise features, fit multinomial logistic regression, and fold the two.

    Parameters
    ----------
    features : array (n_images, n_features)
    labels : array (n_images,)
        Every class from 0 to ``n_classes - 1`` at least once.
    penalties : sequence of float
        L2 penalties as multiples of scikit-learn's default, whose ``C`` is the inverse. Of
        several, the one with the lowest log loss over folds of these images is taken
        (:func:`choose_penalty`).
    max_iter : int
    seed : int
        Draws the folds.

    Raises
    ------
    InputError
        If a feature is not finite.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    if not np.isfinite(features).all():
        raise InputError(
            "features of the probe",
            f"{np.count_nonzero(~np.isfinite(features))} that are NaN or infinite",
            "finite features",
            "Tune the network again with a lower learning rate.",
        )
    scaler = StandardScaler().fit(features)
    scaled = scaler.transform(features)
    penalty = choose_penalty(scaled, labels, penalties, max_iter, seed)
    model = LogisticRegression(C=1 / penalty, max_iter=max_iter)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(scaled, labels)
    converged = not any(issubclass(w.category, ConvergenceWarning) for w in caught)
    weights, bias = model.coef_.astype(np.float64), model.intercept_.astype(np.float64)
    if len(weights) == 1:  # two classes share one logit
        weights, bias = np.vstack([-weights, weights]) / 2, np.array([-bias[0], bias[0]]) / 2
    weights = weights / scaler.scale_
    n_iter = int(model.n_iter_.max())
    return LinearProbe(weights, bias - weights @ scaler.mean_, penalty, n_iter, converged)


def choose_penalty(
    scaled: NDArray[np.floating],
    labels: NDArray[np.int64],
    penalties: Sequence[float],
    max_iter: int = 1000,
    seed: int = 0,
) -> float:
    """Return the penalty with the lowest log loss on images that a fit did not see.

    From the strongest penalty on, each fit starts at the last one's weights, until the loss
    rises: fits under weak penalties are the long ones, and their loss only grows.

    Parameters
    ----------
    scaled : array (n_images, n_features)
        Standardised features.
    labels : array (n_images,)
    penalties : sequence of float
    max_iter, seed
        As for :func:`fit_probe`.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    strongest, *others = sorted(penalties, reverse=True)
    folds = penalty_folds(labels, seed)
    splits = []
    for fold in range(N_FOLDS):
        train = folds != fold
        # A class of which this fold has the only image cannot be told by its fit.
        held_out = ~train & np.isin(labels, labels[train])
        if held_out.any() and len(np.unique(labels[train])) > 1:
            splits.append((train, held_out, LogisticRegression(max_iter=max_iter, warm_start=True)))
    best, least = strongest, np.inf
    for penalty in [strongest, *others] if others and splits else []:
        loss = 0.0
        for train, held_out, model in splits:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                model.set_params(C=1 / penalty).fit(scaled[train], labels[train])
            known = np.searchsorted(model.classes_, labels[held_out])
            logs = model.predict_log_proba(scaled[held_out])
            loss -= float(logs[np.arange(len(known)), known].sum())
        if loss >= least:
            break
        best, least = penalty, loss
    return best


def penalty_folds(labels: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """Return the fold of each image, 0 to 2; each class is spread evenly over them."""
    random = rng(seed, "probe", "penalty")
    folds = np.empty(len(labels), np.int64)
    for label in np.unique(labels):
        rows = random.permutation(np.flatnonzero(labels == label))
        folds[rows] = (np.arange(len(rows)) + label) % N_FOLDS
    return folds


def probe_networks(
    jobs: Sequence[ProbeJob],
    images: ProbeImages,
    provenance: Provenance,
    runtime: Runtime,
    *,
    probe: str,
    layer: str,
    base: PathLike | None = None,
    penalties: Sequence[float] = (1.0,),
    max_iter: int = 1000,
    batch_size: int = 128,
    tokens: str = "all",
) -> None:
    """Fit linear probes on networks' features and write how they classify test images.

    Parameters
    ----------
    jobs : sequence of ProbeJob
        Each output is an HDF5 file: ``log_probabilities`` (n_test, n_classes) float32,
        ``labels`` and ``test_rows`` (n_test,), ``weights`` (n_classes, n_features) and
        ``bias`` (n_classes,) of the raw features, ``classes``, and the label of the
        network, the probe, the layer and the fit as attributes.
    images : ProbeImages
    provenance : Provenance
        Its seed draws the folds in which the penalty is chosen.
    runtime : Runtime
    probe : str
        Name of the probe.
    layer : str
        Layer whose features are classified.
    base : path, optional
        The network that they were tuned from.
    penalties, max_iter
        As for :func:`fit_probe`.
    batch_size : int

    Raises
    ------
    InputError
        If a network has no such layer, or its features are not finite.
    """
    from cortune.networks.store import load_network

    train, test = np.flatnonzero(~images.test), np.flatnonzero(images.test)
    rows, n_train = np.concatenate([train, test]), len(train)
    for job in jobs:
        Path(job.output).parent.mkdir(parents=True, exist_ok=True)
        features = extract_layers(
            load_network(job.network, base).backbone,
            [layer],
            images.cache,
            rows,
            runtime,
            batch_size=batch_size,
            tokens=tokens,
        )[layer]
        linear = fit_probe(
            features[:n_train],
            images.labels[train],
            penalties=penalties,
            max_iter=max_iter,
            seed=provenance.seed,
        )
        with hdf5_writer(job.output, provenance) as file:
            logs = linear.log_probabilities(features[n_train:])
            file["log_probabilities"] = logs.astype(np.float32)
            file["labels"] = images.labels[test]
            file["test_rows"] = test
            file["weights"] = linear.weights
            file["bias"] = linear.bias
            file["classes"] = np.char.encode(np.array(images.classes), "utf-8")
            file.attrs.update(asdict(job.label))
            file.attrs.update(
                probe=probe,
                layer=layer,
                tokens=tokens,
                n_train=n_train,
                penalty=linear.penalty,
                n_iter=linear.n_iter,
                converged=linear.converged,
            )


@contextmanager
def network_artifact(path: PathLike, what: str, stage: str) -> Iterator[tuple[Any, NetworkLabel]]:
    """Open what a stage wrote of one network; yield the file and the network's label.

    Raises
    ------
    InputError
        If the file is missing or truncated, or a field that the block asks for is.
    """
    with hdf5_reader(path) as file:
        try:
            names = NetworkLabel.__annotations__
            yield file, NetworkLabel(**{key: str(file.attrs[key]) for key in names})
        except KeyError as error:
            raise InputError(
                path,
                f"no {what} of a network ({error.args[0]})",
                f"an artifact of {stage}",
                "Remove it and run the workflow again: it will be rebuilt.",
            ) from error


def read_probe_result(path: PathLike) -> ProbeResult:
    """Read an artifact of :func:`probe_networks`.

    Raises
    ------
    InputError
        If the file is missing, truncated or no such artifact.
    """
    with network_artifact(path, "probe", "probe_network") as (file, label):
        attrs = file.attrs
        fit = float(attrs["penalty"]), int(attrs["n_iter"]), bool(attrs["converged"])
        return ProbeResult(
            label,
            str(attrs["probe"]),
            str(attrs["layer"]),
            tuple(np.char.decode(file["classes"][:], "utf-8").tolist()),
            LinearProbe(file["weights"][:], file["bias"][:], *fit, str(attrs["tokens"])),
            file["log_probabilities"][:],
            file["labels"][:],
            file["test_rows"][:],
            int(attrs["n_train"]),
        )
