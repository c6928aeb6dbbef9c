"""The crossover between the package's own Hessian kernel and BLAS panels: ``python -m bench.hessian``.

Both sum the same Hessian of the same data in alternation; n·p = 2e7, C order, medians. The table shows why BLAS is
used only where memory asks for it (``OWN`` in fastlogreg/hessian_sums.py).
"""

import time
from statistics import median

import numpy as np
from rich.console import Console
from rich.table import Table

from fastlogreg import hessian_sums, objective
from fastlogreg.design import as_design

REPEATS = 7
WAYS = {
    "own, float64": (10**9, np.float64),
    "own, float32": (10**9, np.float32),
    "BLAS panels": (0, np.float64),
}


def milliseconds(p):
    """Return the median time of every way for p columns."""
    rng = np.random.default_rng(p)
    n = 20_000_000 // p
    X = rng.normal(size=(n, p))
    y = (rng.random(n) < 0.5).astype(float)
    problem = objective.LogisticObjective(as_design(X), y)
    coef = np.zeros(p + 1)
    times = {name: [] for name in WAYS}
    for _ in range(REPEATS + 1):
        for name, (limit, precision) in WAYS.items():
            hessian_sums.OWN = limit
            start = time.perf_counter()
            problem.value_gradient_hessian(coef, precision)
            times[name].append(1e3 * (time.perf_counter() - start))
    return {name: median(values[1:]) for name, values in times.items()}


def main():
    """Print the table."""
    table = Table("p", *WAYS, title="Value, gradient and Hessian, n·p = 2e7: ms")
    for p in (10, 20, 50, 100, 200, 500, 1000, 2000):
        table.add_row(str(p), *(f"{value:.1f}" for value in milliseconds(p).values()))
    Console().print(table)


if __name__ == "__main__":
    main()
