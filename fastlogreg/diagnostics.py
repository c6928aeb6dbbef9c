"""What to tell the user about the data, and how to mend it."""

import dataclasses
import warnings

import numpy as np

from fastlogreg import separation
from fastlogreg.result import ConvergenceWarning, SeparationWarning, Status

# A column is named if its share of the direction is more than this part of the largest. Where coefficients separate
# all rows, all columns take part and the chief ones are named.
NAMED_SHARE, CHIEF_SHARE = 1e-6, 0.1
MAX_NAMES = 10
# Above this violation the last step of newton-cg tells nothing yet.
LOOSE = 1e-6
# A mean loss below this nearly always means complete separation, which shows in one pass.
SMALL_LOSS = 1e-4
# A violation above this is more than rounding, where no step lowers the objective any more.
ROUNDING = 1e-5
# Coefficients up to which a Hessian serves where a solver without one takes long, and iterations that are many.
MANY_ITERATIONS, MAX_HESSIAN = 100, 5000


def check_separation(estimator, result, objective, target, weight, classes, name):
    """Return the result with status SEPARATED and a direction of recession, and warn, if there is no finite optimum.

    Complete and quasi-complete separation alike; offsets play no part in it. Ordinary fits cost nothing: a Newton step
    that moves no linear predictor proves that there is an optimum, and that of `newton` is known (see `separation`).
    After other solvers it takes a Hessian more. Where that proves nothing, coefficients that classify every row rightly
    or a linear programme decide.

    Parameters
    ----------
    estimator : estimator
        Its ``feature_names_in_`` appear in the message.
    result : Result
        Of a fit without penalty.
    objective : LogisticObjective
    target : ndarray of shape (n_samples,)
        0 or 1, for more classes the class index, of every row.
    weight : ndarray of shape (n_samples,) or None
    classes : ndarray of shape (n_classes,)
        Those that are told apart appear in the message, too.
    name : str
        Of the solver.
    """
    before = objective.n_passes
    direction = _recession(result, objective, target, weight, name)
    if direction is None:
        return dataclasses.replace(result, n_passes=result.n_passes + objective.n_passes - before)
    pairs = separation.separated_pairs(objective, target, weight, direction)
    complete = direction is result.coef
    shares = np.atleast_2d(objective.coordinates.inner(direction))
    shares = np.abs(shares - shares[:1] * (len(shares) > 1))
    slopes = shares[:, :-1].max(axis=0)
    columns = np.flatnonzero(slopes > NAMED_SHARE * shares.max())
    if complete:
        columns = columns[slopes[columns] >= CHIEF_SHARE * slopes.max()]
    where = f"chiefly by column(s) {_listed(estimator, columns)}" if columns.size else "by the intercept"
    extent = "without error" if complete else "in some of the rows"
    warnings.warn(
        f"The classes {_named(classes, pairs)} are separated {extent}, {where}. Without a penalty the likelihood then "
        "has no maximum: the coefficients only mark where the solver stopped on their way to infinity. Use a finite C "
        "(C=1.0 is the default), or leave such columns out.",
        SeparationWarning,
        stacklevel=4,
    )
    n_passes = result.n_passes + objective.n_passes - before
    return dataclasses.replace(result, status=Status.SEPARATED, recession=direction, n_passes=n_passes)


def _recession(result, objective, target, weight, name):
    """Return a direction of recession or None, by the cheapest proof that serves.

    The last step of L-BFGS is no Newton step, and that of newton-cg may have been found before conjugate gradients
    came to a direction in which the gradient is small: where it is cheap they are found anew.
    """
    step = result.step
    large = objective.n_coef > separation.MAX_HESSIAN[objective.design.sparse]
    if name != "newton" and not (name == "newton-cg" and large and result.violation <= LOOSE):
        step = None if large and result.objective < SMALL_LOSS else separation.newton_step(objective, result.coef)
    if step is not None:
        if separation.step_bound(objective, step) < separation.SMALL_STEP or separation.overlap(objective, step):
            return None
    if result.dependent.size:
        step = None  # it may lead through columns that have no part in the matter
    return separation.direction_of_recession(objective, target, weight, result.coef, step)


def _named(classes, pairs):
    """Return a list of all classes, or of those pairs of them that are told apart."""
    labels = [repr(label) for label in classes.tolist()]
    if len(pairs) == len(labels) * (len(labels) - 1) // 2 and len(labels) <= MAX_NAMES:
        return f"{', '.join(labels[:-1])} and {labels[-1]}"
    more = f"; and {len(pairs) - MAX_NAMES} more pairs" if len(pairs) > MAX_NAMES else ""
    return "; ".join(f"{labels[a]} and {labels[b]}" for a, b in pairs[:MAX_NAMES]) + more


def _listed(estimator, columns):
    names = getattr(estimator, "feature_names_in_", None)
    listed = ", ".join(repr(str(names[j])) if names is not None else str(j) for j in columns[:MAX_NAMES])
    return listed + (f" and {len(columns) - MAX_NAMES} more" if len(columns) > MAX_NAMES else "")


def check_convergence(result, name, begin, tol, max_iter, n_coef):
    """Warn if the solver ended before tol for another reason than rounding: how far it got, and one fix.

    Status PRECISION is not worth a word where the violation is of the size of rounding: tol asked for more than
    arithmetic can give, and the coefficients are as good as they get.

    Parameters
    ----------
    result : Result
    name : str
        Of the solver.
    begin : str
        How the message begins.
    tol : float
    max_iter : int
    n_coef : int
    """
    stuck = result.status is Status.PRECISION and result.violation > max(ROUNDING, tol)
    if not stuck and result.status is not Status.MAX_ITER:
        return
    if name != "newton" and n_coef <= MAX_HESSIAN and (stuck or max_iter >= MANY_ITERATIONS):
        fix = f"Use solver='newton', which needs few iterations whatever the conditioning (max_iter is {max_iter})."
    elif stuck:
        fix = "Use a smaller C, for a stronger penalty."
    else:
        fix = f"Increase the number of iterations (max_iter, now {max_iter})."
    above = "" if np.isnan(result.suboptimality) else f" and the objective about {result.suboptimality:.2g} too high"
    warnings.warn(
        f"{begin}: {result.status.value}. The violation is {result.violation:.2g}, tol is {tol:.2g}{above}. {fix}",
        ConvergenceWarning,
        stacklevel=4,
    )
