"""Steps that lower an objective: shorter ones than Newton's, and where that leads nowhere, huge ones."""

import numpy as np

ARMIJO = 1e-4
MIN_STEP = 2.0**-40
# Roundings of the objective within which violation² may lie if a failed Newton step is put down to rounding, for about
# half of violation² is to be gained; and the longest step tried where it is not.
FLAT = 64.0
LONGEST = 2.0**30


def search(evaluate, coef, value, direction, decrement, noise=0.0):
    """Return (coef, value, gradient[, hessian]) after the first of the steps 1, ½, ¼, … that lowers the value.

    Or leaves it within its rounding, or noise above it.
    """
    step = 1.0
    while step > MIN_STEP:
        trial = coef + step * direction
        new_value, *derivatives = evaluate(trial)
        rounding = 8.0 * np.finfo(float).eps * abs(value)
        if new_value <= value - ARMIJO * step * decrement + rounding + noise:
            return trial, new_value, *derivatives
        step *= 0.5
    return None


def escape(evaluate, objective, coef, value, gradient):
    """Return what `search` does along the steepest descent in centred and scaled coordinates, from a huge step down.

    For where no Newton step helps and yet the gradient is no rounding: all probabilities are 0 or 1, the Hessian is
    next to nothing and points anywhere, as with offsets of 10⁴, or where the rows that weigh anything are saturated.
    """
    if objective.violation(gradient) ** 2 <= FLAT * np.finfo(float).eps * value:
        return None
    slopes = objective.coordinates.gradient(gradient)
    direction = -LONGEST * objective.coordinates.outer(slopes)
    return search(evaluate, coef, value, direction, LONGEST * float(np.sum(slopes**2)))
