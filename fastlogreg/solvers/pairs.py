"""What steps and changes of the gradient tell about the Hessian: the memory of L-BFGS.

Nocedal and Wright, Numerical Optimization (2006), section 7.2.
"""

import numpy as np

MEMORY = 10
TINY = np.finfo(float).tiny


def remember(pairs, change, gradient_change):
    """Append a step and the change of the gradient along it, unless the objective was flat to working precision."""
    curvature = float(np.sum(change * gradient_change))
    if min(curvature, float(np.sum(gradient_change**2))) > TINY:
        pairs.append((change, gradient_change, curvature))


def two_loops(gradient, pairs, solve):
    """Return minus the inverse Hessian estimate times the gradient; solve applies the estimate that pairs correct."""
    direction = -gradient
    weights = []
    for change, gradient_change, curvature in reversed(pairs):
        weight = float(np.sum(change * direction)) / curvature
        direction = direction - weight * gradient_change
        weights.append(weight)
    direction = solve(direction)
    for (change, gradient_change, curvature), weight in zip(pairs, reversed(weights), strict=True):
        direction = direction + (weight - float(np.sum(gradient_change * direction)) / curvature) * change
    return direction
