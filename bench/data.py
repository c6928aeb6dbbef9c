"""Data makers for the benchmarks: each returns (X, y) from a seed, in blocks, with labels drawn from the model itself.

The coefficients are scaled so that the linear predictor has a standard deviation of about SPREAD: the classes overlap
(the best possible classifier errs on about one row in five), so where n is well above p an optimum exists even without
a penalty. y is int64 class indices. Peak memory is X, y and one block.
"""

import numpy as np
import scipy.sparse
from sklearn.datasets import make_blobs, make_classification
from sklearn.model_selection import train_test_split

SPREAD = 2.0
BLOCK_ELEMENTS = 1 << 20  # 8 MB of float64


def article1(n=1000, seed=1001):
    """Two Gaussian blobs in the plane: (X_train, y_train, X_test, y_test), the first four fifths for training."""
    X, y = make_blobs(n_samples=n, n_features=2, centers=2, cluster_std=1, random_state=seed)
    split = n * 4 // 5
    return X[:split], y[:split], X[split:], y[split:]


def article5():
    """1000 rows of scikit-learn's make_classification, split at random: (X_train, y_train, X_test, y_test)."""
    X, y = make_classification(
        n_samples=1000, n_features=2, n_redundant=0, n_informative=2, n_clusters_per_class=1, random_state=42
    )
    X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.2, random_state=42)
    return X_train, y_train, X_test, y_test


def iid(n, p, seed=0, dtype=np.float64, order="C"):
    """Independent standard normal columns: the easy case, Gram condition about 1."""
    return _dense(n, p, seed, dtype, order, _direction(p, seed))


def multinomial(n, p, K, seed=0, dtype=np.float64, order="C"):
    """K classes, labels drawn from the softmax of X @ W with standard normal X."""
    W = np.stack([_direction(p, [seed, k]) for k in range(K)], axis=1)
    return _dense(n, p, seed, dtype, order, W)


def raw_units(n, p, seed=0, dtype=np.float64, order="C"):
    """Columns as people have them: units over four decades (1e-2 to 1e2), means several deviations from zero."""
    rng = np.random.default_rng([seed, 1])
    scale = 10.0 ** rng.permutation(np.linspace(-2, 2, p))
    shift = scale * rng.uniform(-5, 5, p)
    scale, shift = scale.astype(dtype), shift.astype(dtype)
    return _dense(n, p, seed, dtype, order, _direction(p, seed), lambda z: z * scale + shift)


def correlated(n, p, condition=1e4, seed=0, dtype=np.float64, order="C"):
    """Columns mixed so that XᵀX / n has exactly this condition number (to rounding in dtype); eigenvalues geometric.

    Two sweeps over X more than `iid`: the columns are first made exactly uncorrelated, which needs n > p.
    """
    rng = np.random.default_rng([seed, 1])
    X, _ = _dense(n, p, seed, dtype, order, None)
    gram = sum(block.T @ block for block in (X[rows].astype(np.float64) for rows in _blocks(n, p))) / n
    whiten = np.linalg.inv(np.linalg.cholesky(gram)).T
    rotation = np.linalg.qr(rng.standard_normal((p, p)))[0]
    eigenvalues = np.geomspace(1.0, 1.0 / condition, p)
    eigenvalues *= p / eigenvalues.sum()  # mean square of an entry of X stays one
    mix = whiten * np.sqrt(eigenvalues) @ rotation
    coef = rng.standard_normal(p)
    coef *= SPREAD / np.linalg.norm(np.sqrt(eigenvalues) * (rotation @ coef))
    y = np.empty(n, dtype=np.int64)
    for rows in _blocks(n, p):
        X[rows] = X[rows] @ mix.astype(dtype)
        y[rows] = _labels(X[rows] @ coef.astype(dtype), rng)
    return X, y


def wide(n, p, seed=0, dtype=np.float64, order="C"):
    """More columns than rows (separable whatever the labels: meant for penalised fits); 20 columns matter."""
    coef = np.zeros(p)
    chosen = np.random.default_rng([seed, 1]).choice(p, min(20, p), replace=False)
    coef[chosen] = _direction(len(chosen), seed)
    return _dense(n, p, seed, dtype, order, coef)


def one_hot(n, levels=(4, 12, 60, 400), rare=5, seed=0, numeric=4, dtype=np.float64):
    """Numeric columns beside dummies of factors with the given numbers of levels, as CSR; reference levels dropped.

    Levels have Zipf frequencies, except that the last level of each factor occurs in exactly `rare` rows, both labels
    among them. Columns: numeric, then sum(levels) - len(levels) dummies.
    """
    rng = np.random.default_rng(seed)
    Z = rng.standard_normal((n, numeric))
    eta = Z @ _direction(numeric, seed) / 2
    columns, width, rare_rows = [], numeric, []
    for n_levels in levels:
        frequency = 1.0 / np.arange(1, n_levels)
        code = rng.choice(n_levels - 1, size=n, p=frequency / frequency.sum())
        rare_rows.append(rng.choice(n, rare, replace=False))
        code[rare_rows[-1]] = n_levels - 1
        eta += rng.standard_normal(n_levels)[code] * SPREAD / (2 * np.sqrt(len(levels)))
        columns.append(np.where(code > 0, width + code - 1, -1))
        width += n_levels - 1
    y = _labels(eta, rng)
    for rows in rare_rows:
        y[rows[:2]] = 0, 1
    columns = np.concatenate([np.broadcast_to(np.arange(numeric), (n, numeric)), np.stack(columns, axis=1)], axis=1)
    values = np.concatenate([Z, np.ones((n, len(levels)))], axis=1).astype(dtype)
    present = columns >= 0
    indptr = np.concatenate([[0], np.cumsum(present.sum(axis=1))]).astype(np.int32)
    X = scipy.sparse.csr_array((values[present], columns[present].astype(np.int32), indptr), shape=(n, width))
    return X, y


def sparse_text(n, p, density=1e-3, seed=0, dtype=np.float64):
    """CSR like a term-document matrix: column frequencies fall as 1/√rank, positive entries, rows of unit norm.

    About n · p · density entries (repeated draws of a word merge); every row has at least one; int32 indices.
    """
    rng = np.random.default_rng(seed)
    counts = np.maximum(rng.poisson(p * density, n), 1)
    indptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    rank = np.empty(indptr[-1], dtype=np.int32)
    for first in range(0, len(rank), BLOCK_ELEMENTS):
        part = rank[first : first + BLOCK_ELEMENTS]
        part[:] = p * rng.random(len(part)) ** 2
    rank = rng.permutation(p).astype(np.int32)[rank]  # frequent words are anywhere, not the first columns
    X = scipy.sparse.csr_array((np.ones(len(rank), dtype), rank, indptr), shape=(n, p))
    X.sum_duplicates()
    lengths = np.diff(X.indptr)
    norms = np.sqrt(np.add.reduceat(X.data * X.data, X.indptr[:-1]))
    X.data /= np.repeat(norms, lengths)
    eta = X @ rng.standard_normal(p).astype(dtype)
    return X, _labels(SPREAD * (eta - eta.mean()) / eta.std(), rng)


def _direction(p, seed):
    """Coefficients for uncorrelated unit-variance columns: X @ coef has standard deviation SPREAD."""
    coef = np.random.default_rng(seed).standard_normal(p)
    return coef * (SPREAD / np.linalg.norm(coef))


def _blocks(n, p):
    step = max(1, BLOCK_ELEMENTS // p)
    return (slice(first, min(first + step, n)) for first in range(0, n, step))


def _dense(n, p, seed, dtype, order, coef, transform=None):
    """Standard normal X filled by blocks, labels from X @ coef *before* the transform (None: no labels)."""
    rng = np.random.Generator(np.random.SFC64(seed))
    X = np.empty((n, p), dtype=dtype, order=order)
    y = None if coef is None else np.empty(n, dtype=np.int64)
    for rows in _blocks(n, p):
        block = rng.standard_normal((rows.stop - rows.start, p), dtype=dtype)
        if coef is not None:
            y[rows] = _labels(block @ coef.astype(dtype), rng)
        X[rows] = block if transform is None else transform(block)
    return X, y


def _labels(eta, rng):
    """Class indices drawn with probability sigmoid(eta), or softmax(eta) where eta has a column a class."""
    if eta.ndim == 1:
        return (rng.logistic(size=len(eta)) < eta).astype(np.int64)
    return np.argmax(eta + rng.gumbel(size=eta.shape), axis=1)
