"""Score pipelines that need to know the sites of the scans they predict.

A scorer of scikit-learn calls ``predict(X)`` and passes nothing else on, so that a pipeline with
ComBat in it cannot be scored by it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from sklearn.metrics import get_scorer
from sklearn.utils.metadata_routing import MetadataRequest, get_routing_for_object

RESPONSES = ("predict", "predict_proba", "predict_log_proba", "decision_function")


class SiteScorer:
    """Give a scorer of scikit-learn the sites and covariates of the scans it scores.

    For ``scoring=`` in cross-validation and in grid search, with metadata routing. Without
    ``scoring=``, scikit-learn uses the score of the pipeline, which needs no help.

    Parameters
    ----------
    scoring : str or callable
        A scorer, as scikit-learn takes it.

    Examples
    --------
    >>> SiteScorer("neg_mean_absolute_error")
    SiteScorer('neg_mean_absolute_error')
    """

    def __init__(self, scoring: str | Callable[..., float]) -> None:
        self.scoring = scoring

    def __repr__(self) -> str:
        return f"SiteScorer({self.scoring!r})"

    def __call__(
        self, estimator: Any, X: Any, y: Any, *, sites: Any = None, covariates: Any = None
    ) -> float:
        """Score predictions of some scans.

        Parameters
        ----------
        estimator : estimator
            Fitted pipeline, or search over its options.
        X : DataFrame or array of shape (n_scans, n_features)
            Measures.
        y : Series or array of shape (n_scans,)
            What is predicted.
        sites : Series or sequence of shape (n_scans,), optional
            Site of each scan.
        covariates : DataFrame of shape (n_scans, n_covariates), optional
            Columns named in the formulas.

        Returns
        -------
        float
            The score; greater is better.
        """
        estimator = getattr(estimator, "best_estimator_", estimator)
        known = {"sites": sites, "covariates": covariates}
        return float(get_scorer(self.scoring)(_Informed(estimator, known), X, y))

    def get_metadata_routing(self) -> MetadataRequest:
        """Ask for sites and covariates.

        Returns
        -------
        MetadataRequest
            What scikit-learn is to pass on.
        """
        request = MetadataRequest(owner=self)
        for name in ("sites", "covariates"):
            request.score.add_request(param=name, alias=True)
        return request


class _Informed:
    """A fitted estimator that predicts from measures alone: it knows their sites."""

    def __init__(self, estimator: Any, known: dict[str, Any]) -> None:
        self._estimator = estimator
        self._known = {name: values for name, values in known.items() if values is not None}

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._estimator, name)
        if name not in RESPONSES:
            return method
        wanted = get_routing_for_object(self._estimator).consumes(name, self._known)

        @wraps(method)
        def informed(X: Any) -> Any:
            return method(X, **{what: self._known[what] for what in wanted})

        return informed
