"""What to tell the user about the data, and how to mend it."""

import dataclasses
import warnings

import numpy as np

from fastlogreg.design import NO_OFFSET
from fastlogreg.kernels import predict
from fastlogreg.result import SeparationWarning, Status

# Mean loss below which it is worth a pass to see whether every row is on its right side.
SUSPICIOUS_LOSS = 1e-4
# A column is named if its share of the linear predictor is at least this part of the largest.
NAMED_SHARE = 0.1


def check_separation(estimator, result, design, target, scales):
    """Return the result with status SEPARATED, and warn, if its coefficients classify every row rightly.

    Then every multiple of them does, the loss falls towards zero along the way and there is no finite optimum: the
    coefficients are themselves the certificate (Albert and Anderson, Biometrika 1984). Costs a pass, only where the
    loss is nearly zero already.

    Parameters
    ----------
    estimator : estimator
        Its ``feature_names_in_`` appear in the message.
    result : Result
        Of a fit without penalty.
    design : Design
    target : ndarray of shape (n_samples,)
        0 or 1, for more classes the class index, of every row.
    scales : ndarray of shape (n_features,)
    """
    if not result.objective < SUSPICIOUS_LOSS:
        return result
    coef = np.atleast_2d(result.coef)
    eta = np.empty((design.shape[0], len(coef)))
    design.run(predict.decision, (NO_OFFSET, eta), (coef,), work=len(coef))
    if len(coef) == 1:
        margins = np.where(target == 1, eta[:, 0], -eta[:, 0])
    else:
        rows = np.arange(len(eta))
        own = eta[rows, target]
        eta[rows, target] = -np.inf
        margins = own - eta.max(axis=1)
    if not margins.min() > 0.0:
        return result
    share = np.abs(coef[:, :-1] * scales).max(axis=0, initial=0.0)
    columns = np.flatnonzero(share >= NAMED_SHARE * share.max(initial=0.0))
    names = getattr(estimator, "feature_names_in_", None)
    listed = ", ".join(repr(str(names[j])) if names is not None else str(j) for j in columns[:10])
    listed += f" and {len(columns) - 10} more" if len(columns) > 10 else ""
    warnings.warn(
        f"The classes are separated without error, chiefly by column(s) {listed}. Without a penalty the likelihood "
        "then has no maximum; the coefficients only mark where the solver stopped. Use a finite C (C=1.0 is the "
        "default) or leave the separating columns out.",
        SeparationWarning,
        stacklevel=4,
    )
    return dataclasses.replace(result, status=Status.SEPARATED)
