"""The inverse of a Hessian, and what its null space means: columns that depend on each other."""

import contextlib

import numpy as np
from scipy.linalg import eigh, qr
from scipy.linalg.lapack import dpotrf, dpotrs  # their wrappers in scipy.linalg take as long as a small factor

from fastlogreg.result import Status
from fastlogreg.threads import factoring

# Pivots or eigenvalues of the scaled Hessian below this many roundings per column are treated as zero.
RANK, RANK_SINGLE = 100.0, 10.0
# A linear predictor that moves by less along a direction of size 1 in scaled coordinates does not move.
UNCHANGED = 1e-4
NOISE = 1e-9  # of a null vector of size 1


class Inverse:
    """H⁻¹ by Cholesky in scaled coordinates, or the pseudo-inverse where H is singular to working precision."""

    def __init__(self, hessian, scales, precision):
        # Unit diagonal: the Cholesky pivots of a matrix so scaled tell singularity apart from bad units.
        root = np.sqrt(np.diag(hessian))
        self.scales = np.where(root > 0.0, root, scales)
        scaled = hessian / self.scales / self.scales[:, None]
        self.null_space = None
        # In float32 only the step suffers, which a float64 gradient corrects: what counts are typical roundings.
        rank = RANK * len(scaled) if precision == np.float64 else RANK_SINGLE * np.sqrt(len(scaled))
        cut = rank * np.finfo(precision).eps
        with factoring(len(scaled)):
            self.factor, failed = dpotrf(scaled, lower=1)
        if not failed and np.diag(self.factor).min() ** 2 > cut:
            return
        self.factor = None
        if precision != np.float64:
            return
        with factoring(len(scaled)):
            values, vectors = eigh(scaled, check_finite=False)
            kept = values > cut * values[-1]
            self.values, self.vectors = values[kept], vectors[:, kept]
            self.null_space = _sparse_basis(vectors[:, ~kept]) / self.scales[:, None]

    @property
    def trusted(self):
        """Whether the precision of the Hessian was enough to solve with it."""
        return self.factor is not None or self.null_space is not None

    def solve(self, gradient):
        """Return H⁻¹ gradient, of least norm in scaled coordinates where H is singular; or of several, as rows."""
        scaled = gradient / self.scales
        if self.factor is not None:
            with factoring(len(self.factor)) if gradient.ndim > 1 else contextlib.nullcontext():
                solution = dpotrs(self.factor, scaled.T, lower=1)[0].T
        else:
            solution = ((scaled @ self.vectors) / self.values) @ self.vectors.T
        return solution / self.scales


def _sparse_basis(vectors):
    """Return vectors of the same span with zeros where only rounding is: columns of odd units would magnify it."""
    n_vectors = vectors.shape[1]
    _, _, order = qr(vectors.T, mode="economic", pivoting=True, check_finite=False)
    basis = np.linalg.solve(vectors[order[:n_vectors]].T, vectors.T).T
    basis[np.abs(basis) < NOISE] = 0.0
    return basis


def plus_l2(hessian, l2, size):
    """Return a Hessian of classes with so many coefficients plus that of an L2 penalty."""
    changed = hessian.copy()
    np.einsum("ii->i", changed).reshape(-1, size)[:, :-1] += l2
    return changed


def pinned(objective, hessian):
    """Return a Hessian that is regular along shifts of all classes at once that change neither loss nor penalty.

    The gradient and every step are orthogonal to such a shift, so the curvature it is given has no effect.
    """
    if objective.binary:
        return hessian
    n_classes, size = objective.shape
    curvature = np.diag(hessian).reshape(n_classes, size).mean(axis=0) / n_classes
    curvature[:-1] *= objective.l2 == 0.0
    return hessian + np.tile(np.diag(curvature), (n_classes, n_classes))


def changes_nothing(objective, null_space):
    """Whether null vectors of a Hessian change no linear predictor; one pass for a combination of all of them."""
    columns = null_space.reshape(*objective.shape, -1)
    inner = objective.coordinates.inner
    columns = columns / np.array([np.abs(inner(columns[..., j])).max() for j in range(columns.shape[-1])])
    mixture = columns @ np.random.default_rng(0).uniform(1.0, 2.0, columns.shape[-1])
    eta = objective.counted(objective.predictors(mixture / np.abs(inner(mixture)).max()))
    return bool(np.abs(eta - eta[:, :1] * (eta.shape[1] > 1)).max() < UNCHANGED)


def still_optimal(objective, coef, status, value, tol):
    """Return value and violation of an optimum that was moved to coef, or None where it is none any more; one pass.

    What looks like a dependence may be a column far from zero, whose variance is lost in rounding: along coefficients
    of 10⁹ that balance, even a part of 10⁻⁶ that is not null moves linear predictors by hundreds.
    """
    moved, gradient = objective.value_gradient(coef)
    violation = objective.violation(gradient)
    same = moved <= value + 8.0 * np.finfo(float).eps * abs(value)
    return (moved, violation) if same and (status is not Status.CONVERGED or violation <= tol) else None


def dependent(objective, null_space):
    """Return the columns of X that take part in null vectors."""
    columns = null_space.reshape(*objective.shape, -1)
    parts = np.abs(columns[..., :-1, :] * objective.coordinates.scales[:-1, None])
    parts = parts.reshape(-1, *parts.shape[-2:]).max(axis=0)
    return np.flatnonzero((parts > UNCHANGED * parts.max(axis=0)).any(axis=1))


def least_norm(coef, null_space):
    """Move along directions that change no linear predictor to the least norm, intercept not counted."""
    columns = null_space.reshape(*coef.shape, -1)
    slopes = columns[..., :-1, :].reshape(-1, columns.shape[-1])
    sizes = np.abs(slopes).max(axis=0)
    sizes[sizes == 0.0] = 1.0
    slopes, columns = slopes / sizes, columns / sizes
    move, *_ = np.linalg.lstsq(slopes, -coef[..., :-1].ravel(), rcond=None)
    return coef + columns @ move
