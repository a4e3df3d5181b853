"""The encoding model as an estimator of scikit-learn."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, MultiOutputMixin, RegressorMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from cortune.encoding.folds import MIN_FOLD, Plan, Split, block_folds
from cortune.encoding.protocols import Settings, encode
from cortune.encoding.ridge import principal_components, rotate
from cortune.encoding.scores import varies
from cortune.seeds import rng

Array = NDArray[Any]
_ALPHAS = tuple(10.0**power for power in range(-1, 8))


class Encoding(MultiOutputMixin, RegressorMixin, BaseEstimator):  # type: ignore[misc]
    r"""Principal components and ridge regression, with a penalty for each target.

    The model of the workflow: features are centred and projected on the principal components
    of the samples, of which ridge regression predicts each target with the penalty of the
    highest cross-validated r. All follows from the inner products of samples, so that its
    time hardly depends on the number of features, targets or penalties.

    Parameters
    ----------
    alphas : sequence of float
        Penalties to choose from.
    n_components : int, optional
        Components at most; None keeps all.
    folds : int
        Of cross-validation; fewer where there are fewer than three samples for each.
    kernel : {"linear", "precomputed"}
        `precomputed` takes inner products of samples instead of features: (n, n) to fit, and
        those of new samples with the ones fitted, (m, n), to predict.
    random_state : int
        Seed of the folds.

    Attributes
    ----------
    alpha_ : ndarray of shape (n_targets,)
        Penalty of each target.
    r_ : ndarray of shape (n_targets,)
        Its cross-validated r, which chose the penalty; NaN where there are too few samples.
    coef_ : ndarray of shape (n_targets, n_features)
        Of features; of `precomputed` inner products, of the samples.
    intercept_ : ndarray of shape (n_targets,)

    Notes
    -----
    With inner products :math:`K = U \Lambda U^\top` of the centred samples, the predictions are
    :math:`\hat Y = k U (\Lambda + \alpha)^{-1} U^\top (Y - \bar Y) + \bar Y`: those of
    ``PCA(n_components)`` and ``Ridge(alpha)``.
    """

    def __init__(
        self,
        *,
        alphas: Any = _ALPHAS,
        n_components: int | None = None,
        folds: int = 5,
        kernel: str = "linear",
        random_state: int = 0,
    ) -> None:
        self.alphas = alphas
        self.n_components = n_components
        self.folds = folds
        self.kernel = kernel
        self.random_state = random_state

    def fit(self, X: Any, Y: Any) -> Self:
        """Choose penalties by cross-validation, and fit all samples.

        Parameters
        ----------
        X : array of shape (n_samples, n_features), or (n_samples, n_samples)
        Y : array of shape (n_samples,) or (n_samples, n_targets)

        Returns
        -------
        self
        """
        if self.kernel not in ("linear", "precomputed"):
            raise ValueError(f"kernel: found {self.kernel!r}, expected linear or precomputed")
        X, Y = validate_data(
            self, X, Y, multi_output=True, y_numeric=True, dtype=np.float64, ensure_min_samples=2
        )
        if self.kernel == "precomputed" and X.shape[0] != X.shape[1]:
            raise ValueError(f"X: found shape {X.shape}, expected inner products (n, n)")
        self._flat = Y.ndim == 1
        Y = Y.reshape(len(X), -1).astype(np.float64)
        self._mean = X.mean(0)
        gram = X if self.kernel == "precomputed" else (X - self._mean) @ (X - self._mean).T
        n = len(X)
        settings = Settings(
            alphas=sorted(self.alphas),
            n_components=self.n_components or n,
            seed=self.random_state,
        )
        self.alpha_ = np.full(Y.shape[1], settings.alphas[0])
        self.r_ = np.full(Y.shape[1], np.nan)
        if (k := min(self.folds, n // MIN_FOLD)) > 1 and len(settings.alphas) > 1:
            order = rng(self.random_state, "encoding", "folds").permutation(n).tolist()
            outer = tuple(
                Split(tuple(sorted(set(range(n)) - set(fold))), fold)
                for fold in block_folds(order, k)
            )
            plan = Plan(outer=outer, inner=(outer,) * len(outer))
            # Correlations do not see a target's scale, but float32 has its limits.
            scale = np.abs(Y).max(axis=0)
            found = encode({"": gram}, Y / np.where(scale > 0, scale, 1), {"": plan}, settings)
            # Penalties come back as float32.
            alphas = np.array(settings.alphas)
            nearest = np.abs(alphas[:, None] - found[""].alpha).argmin(axis=0)
            self.alpha_ = np.where(np.isfinite(found[""].alpha), alphas[nearest], self.alpha_)
            self.r_ = found[""].r.astype(np.float64)
        components = principal_components(np.asarray(gram, np.float64), settings.n_components)
        eigenvalues = components.eigenvalues[:, None]
        dual = components.axes @ (rotate(components.axes, Y) / (eigenvalues + self.alpha_))
        self.intercept_ = np.where(varies(Y), Y.mean(0), Y[0])
        if self.kernel == "precomputed":
            # Centring the inner products of new samples, as `project` does.
            dual -= dual.mean(0)
            self.intercept_ = self.intercept_ - components.row_mean @ dual
            coefficients = dual
        else:
            coefficients = (X - self._mean).T @ dual
            self.intercept_ = self.intercept_ - self._mean @ coefficients
        self.coef_ = coefficients[:, 0] if self._flat else coefficients.T
        if self._flat:
            self.intercept_, self.alpha_, self.r_ = self.intercept_[0], self.alpha_[0], self.r_[0]
        return self

    def predict(self, X: Any) -> Array:
        """Predict targets.

        Parameters
        ----------
        X : array of shape (n_samples, n_features)
            Or (n_samples, n_samples_fitted) with `precomputed`.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_targets)
        """
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, dtype=np.float64)
        predictions: Array = X @ np.asarray(self.coef_).T + self.intercept_
        return predictions

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.pairwise = self.kernel == "precomputed"
        return tags
