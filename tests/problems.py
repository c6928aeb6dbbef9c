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
