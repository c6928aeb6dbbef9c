"""Problems: rows, labels and what comes with them; random ones for kernels, each hard in its own way for solvers."""

from dataclasses import dataclass, replace

import numpy as np

from designs import rounded


@dataclass(frozen=True, eq=False)
class Problem:
    """Data of one fit; X is dense float64, y float64 for two classes and int64 class indices for more."""

    X: np.ndarray
    y: np.ndarray
    n_classes: int = 2
    weight: np.ndarray | None = None
    offset: np.ndarray | None = None
    l2: float = 0.0
    fit_intercept: bool = True

    @property
    def coef_shape(self):
        size = self.X.shape[1] + 1
        return (size,) if self.n_classes == 2 else (self.n_classes, size)

    @property
    def terms(self):
        """Arguments of the functions in naive.py and of LogisticObjective alike."""
        return {"weight": self.weight, "offset": self.offset, "l2": self.l2}

    def rows(self, index):
        """The problem of these rows alone."""
        taken = {name: getattr(self, name) for name in ("X", "y", "weight", "offset")}
        return replace(self, **{name: None if value is None else value[index] for name, value in taken.items()})


def random_problem(n, p, n_classes=2, *, weighted=False, shifted=False, soft=False, seed=0, **rest):
    """Draw a problem with entries that float32 can hold, every class present where n allows it."""
    rng = np.random.default_rng([seed, n, p, n_classes])
    X = rounded(rng.normal(size=(n, p)) + 0.3 * rng.normal(size=p))
    y = rng.permutation(np.arange(n) % n_classes)
    if n_classes == 2:
        y = rng.random(n) if soft else y.astype(np.float64)
    weight = rng.uniform(0.1, 3.0, n) if weighted else None
    offset = rng.normal(size=n if n_classes == 2 else (n, n_classes)) if shifted else None
    return Problem(X, y, n_classes, weight, offset, **rest)


def random_coef(problem, seed=0):
    """Coefficients that make linear predictors of a few units."""
    rng = np.random.default_rng([seed, *problem.coef_shape])
    return rng.normal(size=problem.coef_shape) * 2 / np.sqrt(problem.coef_shape[-1])


# --- problems for solvers ---------------------------------------------------------------------------------------


def drawn(n, p, n_classes=2, *, seed=0, noise=1.0, **rest):
    """Labels drawn from a logistic model with coefficients of order one, so that an optimum exists."""
    rng = np.random.default_rng([seed, n, p, n_classes])
    X = rng.normal(size=(n, p))
    coef = rng.normal(size=(n_classes, p + 1))
    eta = (X @ coef[:, :-1].T + coef[:, -1]) / noise + rng.gumbel(size=(n, n_classes))
    y = eta.argmax(axis=1)
    return Problem(X, y.astype(np.float64 if n_classes == 2 else np.int64), n_classes, **rest)


def with_rows(problem, seed=1, **rest):
    """The same with a weight and an offset for every row."""
    rng = np.random.default_rng(seed)
    n = len(problem.X)
    offset = rng.normal(size=n if problem.n_classes == 2 else (n, problem.n_classes))
    return replace(problem, weight=rng.uniform(0.0, 3.0, n) * (rng.random(n) > 0.1), offset=offset, **rest)


def with_columns(problem, *columns):
    return replace(problem, X=np.column_stack([problem.X, *columns]))


def scaled(problem, factors):
    return replace(problem, X=problem.X * factors)


def rare(problem, n_positive=6):
    """Only the first few positive rows stay positive, so that a sample of the rows may hold none."""
    y = np.where(np.cumsum(problem.y) <= n_positive, problem.y, 0.0)
    return replace(problem, y=y)


def single(problem):
    """The last class keeps its first row only."""
    last = problem.n_classes - 1
    return replace(problem, y=np.where((problem.y == last) & (np.cumsum(problem.y == last) > 1), 0, problem.y))


def by_label(problem):
    return problem.rows(np.argsort(problem.y, kind="stable"))


BINARY, SEVERAL = drawn(200, 5), drawn(300, 4, 3)
UNITS = np.array([1e8, 1e-8, 1.0, 1e4, 1e-3])

#: Problems with one optimum.
SOLVABLE = {
    "penalty": replace(BINARY, l2=0.05),
    "strong penalty": replace(BINARY, l2=100.0),
    "no penalty": BINARY,
    "no intercept": replace(BINARY, l2=0.01, fit_intercept=False),
    "weights and offset": with_rows(BINARY, l2=0.02),
    "columns in units of 1e8 and 1e-8": scaled(BINARY, UNITS),
    "far from centred": with_columns(BINARY, 1e4 + BINARY.X[:, 0] * BINARY.X[:, 1]),
    "zero column": with_columns(replace(BINARY, l2=0.01), np.zeros(200)),
    "constant column, penalty": with_columns(replace(BINARY, l2=0.01), np.full(200, 3.0)),
    "fewer rows than columns": replace(drawn(30, 60), l2=0.01),
    "one column": drawn(100, 1),
    "many rows": drawn(4000, 3),
    "many rows, sorted by label": by_label(drawn(4000, 3)),
    "many rows, few positive": rare(drawn(6000, 2)),
    "rounded Hessians": replace(drawn(30_000, 60), l2=1e-6),
    "three classes": replace(SEVERAL, l2=0.05),
    "three classes, no penalty": SEVERAL,
    "three classes, no intercept": replace(SEVERAL, l2=0.01, fit_intercept=False),
    "three classes, weights and offset": with_rows(SEVERAL, l2=0.02),
    "three classes, odd units": scaled(SEVERAL, UNITS[:4]),
    "three classes, many rows": drawn(6000, 2, 3),
    "eight classes": replace(drawn(400, 3, 8), l2=0.01),
    "three classes, one of a single row": replace(single(SEVERAL), l2=0.001),
}

#: Problems with many optima, of which the shortest is wanted.
COLLINEAR = {
    "column twice": with_columns(BINARY, BINARY.X[:, 1]),
    "column twice in other units": with_columns(BINARY, BINARY.X[:, 1] * 1e3),
    "sum of columns": with_columns(BINARY, BINARY.X.sum(axis=1)),
    "constant column": with_columns(BINARY, np.full(200, 2.0)),
    "all levels of a category": with_columns(BINARY, np.eye(3)[np.arange(200) % 3]),
    "zero column, no penalty": with_columns(BINARY, np.zeros(200)),
    "column twice, no intercept": with_columns(replace(BINARY, fit_intercept=False), BINARY.X[:, 1]),
    "column twice, weights and offset": with_columns(with_rows(BINARY), BINARY.X[:, 1]),
    "column twice, many rows": with_columns(drawn(30_000, 60), drawn(30_000, 60).X[:, 1]),
    "column twice, three classes": with_columns(SEVERAL, SEVERAL.X[:, 1]),
    "constant column, three classes": with_columns(SEVERAL, np.full(300, 2.0)),
}

#: Problems without an optimum: the classes can be separated and nothing holds the coefficients back.
SEPARABLE = {
    "separable": replace(BINARY, y=(BINARY.X[:, 0] > 0.1).astype(np.float64)),
    "one column separates": Problem(np.arange(10.0)[:, None], (np.arange(10) > 4).astype(np.float64)),
    "separable but for a point": Problem(
        np.array([0.0, 1.0, 2.0, 2.0, 3.0, 4.0])[:, None], np.array([0.0, 0.0, 0.0, 1.0, 1.0, 1.0])
    ),
    "fewer rows than columns, no penalty": drawn(20, 40),
    "separable, three classes": replace(SEVERAL, y=np.digitize(SEVERAL.X[:, 0], [-0.5, 0.5])),
    "separable, odd units": scaled(replace(BINARY, y=(BINARY.X[:, 0] > 0.1).astype(np.float64)), UNITS),
}
