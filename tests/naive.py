"""The same sums as the kernels, in plain NumPy on a dense float64 matrix: short enough to be checked by reading.

Binary and multinomial share every name; ``coef`` of one dimension means two classes. As in the kernels: y in [0, 1]
or class index, coef (p + 1,) or (K, p + 1) with the intercept last, weight and offset optional, sums not divided by
anything. ``objective``, ``gradient``, ``kkt_violation`` and ``optimum`` are those of the mean loss with L2 penalty.
"""

import numpy as np
import scipy.sparse
from scipy import special


def dense(X):
    """Return any storage of X as a float64 array."""
    if isinstance(X, tuple):  # the kernels' CSR
        X = scipy.sparse.csr_array((X.data, X.indices, X.indptr), shape=(len(X.indptr) - 1, X.n_features))
    return np.asarray(X.todense() if scipy.sparse.issparse(X) else X, dtype=np.float64)


def with_ones(X):
    """Append the column of the intercept."""
    X = dense(X)
    return np.column_stack([X, np.ones(len(X))])


# --- a row ------------------------------------------------------------------------------------------------------


def decision(X, coef, offset=None):
    """Linear predictors: (n,) for two classes, else (n, K)."""
    eta = with_ones(X) @ coef.T
    return eta if offset is None else eta + offset


def probability(eta):
    """Probabilities of all classes, (n, K)."""
    if eta.ndim == 2:
        return special.softmax(eta, axis=1)
    return np.column_stack([special.expit(-eta), special.expit(eta)])


def log_probability(eta):
    """Logarithms of the probabilities, (n, K)."""
    if eta.ndim == 2:  # log(1 + Σ exp(eta_l - eta_k)) over the others; scipy's log_softmax loses the 1 + small
        others = [special.logsumexp(np.delete(eta, k, axis=1), axis=1) - eta[:, k] for k in range(eta.shape[1])]
        return -np.logaddexp(0, np.column_stack(others))
    return -np.column_stack([np.logaddexp(0, eta), np.logaddexp(0, -eta)])


def loss(eta, y):
    """Minus the log likelihood of each row."""
    if eta.ndim == 2:
        return special.logsumexp(eta, axis=1) - eta[np.arange(len(y)), y]
    return y * np.logaddexp(0, -eta) + (1 - y) * np.logaddexp(0, eta)


def slope(eta, y):
    """First derivative of the loss in eta, shaped like eta."""
    if eta.ndim == 2:
        return probability(eta) - np.eye(eta.shape[1])[y]
    return special.expit(eta) - y


def curvature(eta):
    """Second derivative of the loss in eta: (n,) for two classes, else (n, K, K)."""
    if eta.ndim == 2:
        p = probability(eta)
        return np.einsum("ik,kl->ikl", p, np.eye(eta.shape[1])) - np.einsum("ik,il->ikl", p, p)
    return special.expit(eta) * special.expit(-eta)


# --- sums over rows ---------------------------------------------------------------------------------------------


def weights(X, weight):
    return np.ones(X.shape[0]) if weight is None else weight


def value_gradient(X, y, coef, weight=None, offset=None):
    """Sums of loss and of slope · (x, 1), the latter shaped like coef."""
    eta, w = decision(X, coef, offset), weights(with_ones(X), weight)
    return w @ loss(eta, y), (slope(eta, y).T * w) @ with_ones(X)


def hessian(X, coef, weight=None, offset=None):
    """Sum of curvature · (x, 1) (x, 1)ᵀ, (coef.size, coef.size)."""
    rows, w = with_ones(X), weights(with_ones(X), weight)
    c = curvature(decision(X, coef, offset))
    if coef.ndim == 1:
        return (rows.T * (w * c)) @ rows
    return np.einsum("i,ikl,ia,ib->kalb", w, c, rows, rows).reshape(coef.size, coef.size)


def hessian_product(X, coef, vector, weight=None, offset=None):
    """The Hessian times a vector shaped like coef."""
    return (hessian(X, coef, weight, offset) @ vector.ravel()).reshape(coef.shape)


def scaled_panel(X, coef, weight=None, offset=None):
    """Rows sqrt(w · curvature) · (x, 1), whose Gram matrix is the binary Hessian."""
    rows = with_ones(X)
    return np.sqrt(weights(rows, weight) * curvature(decision(X, coef, offset)))[:, None] * rows


def moments(X, weight=None):
    """Weighted sum and sum of squares of every column."""
    return np.stack([weights(X, weight) @ dense(X), weights(X, weight) @ dense(X) ** 2])


# --- the objective and its optimality ---------------------------------------------------------------------------


def objective(X, y, coef, *, weight=None, offset=None, l2=0.0):
    """Weighted mean loss + ½ l2 Σ coef_j², intercept not counted."""
    total, _ = value_gradient(X, y, coef, weight, offset)
    return total / weights(X, weight).sum() + 0.5 * np.sum(l2 * coef[..., :-1] ** 2)


def gradient(X, y, coef, *, weight=None, offset=None, l2=0.0, fit_intercept=True):
    """Gradient of the objective, shaped like coef; without an intercept its derivative counts as zero."""
    _, total = value_gradient(X, y, coef, weight, offset)
    result = total / weights(X, weight).sum()
    result[..., :-1] += l2 * coef[..., :-1]
    if not fit_intercept:
        result[..., -1] = 0.0
    return result


def scales(X, weight=None, centre=True):
    """The power of two nearest the standard deviation of each column, 1 for zero columns and for the intercept.

    The root mean square takes its place where a column is constant, or where columns are not to be centred.
    """
    # entries of 1e±200 have no square, so the largest is taken out first
    X = dense(X)
    largest = np.abs(X).max(axis=0, initial=0.0)
    largest[largest == 0.0] = 1.0
    X = X / largest
    rms, deviation = (np.sqrt(np.average(Z**2, axis=0, weights=weight)) for Z in (X, X - means(X, weight)))
    size = largest * np.where((deviation > 1e-7 * rms) & centre, deviation, rms)
    size[size == 0.0] = 1.0
    return np.append(2.0 ** np.round(np.log2(size)), 1.0)


def means(X, weight=None):
    return np.average(dense(X), axis=0, weights=weight)


def kkt_violation(X, y, coef, *, weight=None, offset=None, l2=0.0, fit_intercept=True):
    """Largest derivative of the objective in centred columns, each divided by its scale: zero exactly at an optimum."""
    full = gradient(X, y, coef, weight=weight, offset=offset, l2=l2, fit_intercept=fit_intercept)
    full[..., :-1] -= means(X, weight) * full[..., -1:]  # zero without an intercept
    return float(np.max(np.abs(full / scales(X, weight, fit_intercept))))


def suboptimality(X, y, coef, *, weight=None, offset=None, l2=0.0):
    """½ gᵀ H⁺ g: how far the objective is above its least value, nearly."""
    slopes = gradient(X, y, coef, weight=weight, offset=offset, l2=l2).ravel()
    penalty = np.full(coef.shape, l2)
    penalty[..., -1] = 0.0
    curvatures = hessian(X, coef, weight, offset) / weights(X, weight).sum() + np.diag(penalty.ravel())
    return 0.5 * slopes @ np.linalg.lstsq(curvatures, slopes, rcond=None)[0]


def penalty(coef, l1=0.0, low=-np.inf, high=np.inf, grouped=False):
    """Σ l1_j |coef_j|, intercept not counted; infinite outside of the bounds. Grouped, |·| is a 2-norm over classes."""
    columns = coef[..., :-1]
    inside = np.all((low <= columns) & (columns <= high))
    sizes = np.sqrt((columns**2).sum(axis=0)) if grouped else np.abs(columns)
    return float(np.sum(l1 * sizes)) if inside else np.inf


def penalty_violation(
    X, y, coef, *, l1=0.0, low=-np.inf, high=np.inf, grouped=False, weight=None, fit_intercept=True, **terms
):
    """As kkt_violation with L1 and bounds: how far -derivative lies from the interval that balances it.

    The interval is l1 · sign(coef), [-l1, l1] at zero, without end to the right at the upper bound and to the left at
    the lower. Grouped, it is l1 times the unit vector along the column's coefficients, a ball of radius l1 at zero.
    """
    full = gradient(X, y, coef, weight=weight, fit_intercept=fit_intercept, **terms)
    full[..., :-1] -= means(X, weight) * full[..., -1:]
    columns = coef[..., :-1]
    if grouped:
        distance = np.abs(full)
        for j, strength in enumerate(np.broadcast_to(l1, columns.shape[1])):
            size, steepness = np.linalg.norm(columns[:, j]), np.linalg.norm(full[:, j])
            if size > 0.0:
                distance[:, j] = np.abs(full[:, j] + strength * columns[:, j] / size)
            else:
                distance[:, j] *= max(0.0, 1.0 - strength / steepness) if steepness > 0.0 else 0.0
        return float(np.max(distance / scales(X, weight, fit_intercept)))
    least = np.where(columns > 0, l1, -np.asarray(l1) * np.ones_like(columns))
    most = np.where(columns < 0, -np.asarray(l1), np.asarray(l1) * np.ones_like(columns))
    least = np.append(np.where(columns == low, -np.inf, least), np.zeros_like(coef[..., -1:]), axis=-1)
    most = np.append(np.where(columns == high, np.inf, most), np.zeros_like(coef[..., -1:]), axis=-1)
    distance = np.maximum(np.maximum(least - -full, -full - most), 0.0)
    return float(np.max(distance / scales(X, weight, fit_intercept)))


def optimum(X, y, shape, *, weight=None, offset=None, l2=0.0, fit_intercept=True, n_iter=100):
    """Coefficients of least objective, by damped Newton steps; of many optima, see `shortest`."""
    terms = {"weight": weight, "offset": offset, "l2": l2}
    scale = np.broadcast_to(scales(X, centre=False), shape).ravel()
    total = weights(X, weight).sum()
    penalised, free = np.ones(shape), np.ones(shape)
    penalised[..., -1] = 0.0
    free[..., -1] = fit_intercept
    coef = np.zeros(shape)
    for _ in range(n_iter):
        slopes = gradient(X, y, coef, **terms, fit_intercept=fit_intercept).ravel() / scale
        curvatures = hessian(X, coef, weight, offset) / total + l2 * np.diag(penalised.ravel())
        curvatures *= np.outer(free / scale.reshape(shape), free / scale.reshape(shape))
        direction = -np.linalg.pinv(curvatures, rcond=1e-13, hermitian=True) @ slopes / scale
        value, step = objective(X, y, coef, **terms), 1.0
        while objective(X, y, coef + step * direction.reshape(shape), **terms) > value and step > 1e-6:
            step /= 2
        if np.abs(slopes).max() < 1e-14 or step <= 1e-6:
            break
        coef = coef + step * direction.reshape(shape)
    return coef


def shortest(X, coef, fit_intercept=True):
    """Coefficients of least norm, intercept not counted, that differ by a constant from coef in what they predict.

    That constant goes into the intercept; for several classes what all of them share is taken out as well.
    """
    rows = dense(X)
    middle = rows.mean(axis=0) if fit_intercept else np.zeros(rows.shape[1])
    slopes = coef[..., :-1] if coef.ndim == 1 else coef[..., :-1] - coef[..., :-1].mean(axis=0)
    short = (np.linalg.pinv(rows - middle, rcond=1e-10) @ ((rows - middle) @ slopes.T)).T
    intercept = coef[..., -1] + (slopes - short) @ middle
    return np.concatenate([short, intercept[..., None]], axis=-1)


def bfgs(hessian, change, gradient_change):
    """Nocedal and Wright (2006), equation 6.19."""
    product = hessian @ change
    along = np.outer(gradient_change, gradient_change) / (gradient_change @ change)
    return hessian + along - np.outer(product, product) / (product @ change)


def without_intercepts(hessian, n_classes):
    """Schur complement of the intercepts, C⁻¹ Bᵀ and C for H = [[A, B], [Bᵀ, C]]."""
    last = np.arange(len(hessian)) % (len(hessian) // n_classes) == len(hessian) // n_classes - 1
    corner, border = hessian[np.ix_(last, last)], hessian[np.ix_(~last, last)]
    lift = np.linalg.solve(corner, border.T)
    return hessian[np.ix_(~last, ~last)] - border @ lift, lift, corner
