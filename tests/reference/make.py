"""Small hard problems and their optima to 50 digits: `python tests/reference/make.py` writes problems.json beside it.

There is no set of certified data for logistic regression, so these are ours. The data of a problem are the numbers in
the file, which Python's JSON reads back bit by bit, so the optimum is that of exactly these doubles. It comes from
Newton's method in arithmetic of DIGITS digits, and the tests prove it without any of the code below.

Beside the optimum c* stands how well double precision can know it. To round each term of the linear predictors and of
the gradient once (unit roundoff u) changes

    eta_i by at most     a_i = u (Σ_j |x_ij c_j| + |intercept| + |offset_i|),
    slope_i by           curvature_i a_i + u |slope_i|,
    the gradient by      that times w_i x_i, and  b_j = u (Σ_i |w_i slope_i x_ij| + |c_j| / C),
    c, to first order,   Σ_i |H⁻¹ w_i x_i| (curvature_i a_i + u |slope_i|) + |H⁻¹| b,

and `attainable` is -log10 of the largest relative change of an entry of c*. `condition` is that of the Hessian at c*
in centred columns scaled to a unit diagonal, as it is for a solver to which units and origin do not matter.
"""

import json
import random
from pathlib import Path

from mpmath import mp, mpf

DIGITS = 130  # 1e±150 cancels in the range of exponents, not in digits
SHOWN = 50
mp.dps = DIGITS

# --- problems ---------------------------------------------------------------------------------------------------
# A dict each: X, y, and where they apply weight, offset, C (None for no penalty), fit_intercept, class_weight, storage.

# GNP deflator, GNP, unemployed, armed forces, population, year, 1947 to 1962. J. W. Longley, "An appraisal of least
# squares programs for the electronic computer from the point of view of the user", JASA 62 (1967); public domain.
LONGLEY = [
    [83.0, 234289, 2356, 1590, 107608, 1947], [88.5, 259426, 2325, 1456, 108632, 1948],
    [88.2, 258054, 3682, 1616, 109773, 1949], [89.5, 284599, 3351, 1650, 110929, 1950],
    [96.2, 328975, 2099, 3099, 112075, 1951], [98.1, 346999, 1932, 3594, 113270, 1952],
    [99.0, 365385, 1870, 3547, 115094, 1953], [100.0, 363112, 3578, 3350, 116219, 1954],
    [101.2, 397469, 2904, 3048, 117388, 1955], [104.6, 419180, 2822, 2857, 118734, 1956],
    [108.4, 442769, 2936, 2798, 120445, 1957], [110.8, 444546, 4681, 2637, 121950, 1958],
    [112.6, 482704, 3813, 2552, 123366, 1959], [114.2, 502601, 3931, 2514, 125368, 1960],
    [115.7, 518173, 4806, 2572, 127852, 1961], [116.9, 554894, 4007, 2827, 130081, 1962],
]  # fmt: skip


def counted(cells, *counts, **rest):
    """Cells of which each has a number of rows of every class: one weighted row a cell and class."""
    rows = [(x, k, n) for i, x in enumerate(cells) for k, column in enumerate(counts) if (n := column[i]) > 0]
    return {"X": [x for x, _, _ in rows], "y": [k for _, k, _ in rows], "weight": [n for _, _, n in rows], **rest}


def normal(n, p, seed, digits=2):
    draw = random.Random(seed)
    return [[round(draw.gauss(0, 1), digits) for _ in range(p)] for _ in range(n)]


def labelled(X, n_classes=2, seed=0, **rest):
    """Labels drawn from a logistic model with coefficients of order one in the columns of X given to four digits."""
    draw = random.Random(seed)
    coef = [[draw.gauss(0, 1) for _ in X[0]] for _ in range(n_classes)]
    y = [max(range(n_classes), key=lambda k: mpf_dot(coef[k], x) - float(mp.log(-mp.log(draw.random())))) for x in X]
    return {"X": X, "y": y, **rest}


def mpf_dot(a, b):
    return float(sum(u * v for u, v in zip(a, b, strict=True)))


def scaled(problem, factors, **rest):
    return {**problem, "X": [[float(x * f) for x, f in zip(row, factors, strict=True)] for row in problem["X"]], **rest}


def shifted(problem, origins, **rest):
    return {**problem, "X": [[float(x + o) for x, o in zip(row, origins, strict=True)] for row in problem["X"]], **rest}


def problems():
    """{name: problem}."""
    few = labelled(normal(30, 3, 1), seed=2)
    several = labelled(normal(45, 3, 3), 3, seed=4)
    years = [9, 4, 7, 8, 3, 5, 2, 6, 4, 3, 5, 2, 3, 4, 1, 2], [2, 3, 1, 5, 4, 2, 6, 3, 5, 7, 4, 8, 6, 3, 9, 7]
    longley = counted(LONGLEY, *years)
    dose = [[float(d)] for d in range(1, 11)]
    powers = [[float(t**k) for k in range(1, 6)] for t in range(21)]
    hilbert = [[1.0 / (i + j) for j in range(1, 6)] for i in range(1, 13)]
    draw = random.Random(5)
    decades = [float(f"1e{round(draw.uniform(-6, 6), 2):.0f}") * draw.randint(1, 9) for _ in range(30)]
    levels = [[float(k % 4 == j) for j in range(4)] + [float(k // 4 == j) for j in range(3)] for k in range(12)]
    up, down = [3, 5, 2, 8, 4, 1, 6, 7, 2, 9, 3, 4], [4, 2, 6, 3, 5, 7, 2, 1, 8, 3, 6, 5]
    rare = [[x, float(i == 4)] for i, (x,) in enumerate(normal(40, 1, 6))]
    close = [[a, b, a + c / 2**16] for a, b, c in normal(30, 3, 7)]
    closer = [[a, b, a + c / 2**20] for a, b, c in normal(30, 3, 7)]
    uneven = labelled(shifted({"X": normal(30, 3, 24)}, [0.5, 0.0, -0.25])["X"], seed=25)
    split = {"X": [[*d, x] for d, (x,) in zip(dose, normal(10, 1, 26), strict=True)], "y": [0] * 4 + [1] * 6}
    cells = normal(14, 2, 8)
    return {
        "easy": {**few, "C": None},
        "easy, penalty": {**few, "C": 1.0},
        "Longley": {**longley, "C": None},
        "Longley, penalty": {**longley, "C": 1.0},
        "Longley, no intercept": {**longley, "C": None, "fit_intercept": False},
        "powers up to the fifth": counted(powers, *([k % m + 1 for k in range(21)] for m in (5, 7)), C=None),
        "Hilbert matrix": counted(hilbert, up, down, C=None),
        "Hilbert matrix, penalty": counted(hilbert, up, down, C=1e6),
        "columns that differ by 1e-5": {**labelled(close, seed=3), "C": None},
        "columns that differ by 1e-6": {**labelled(closer, seed=3), "C": None},
        "columns that differ by 1e-6, penalty": {**labelled(closer, seed=3), "C": 1e4},
        "units of 1e8 and 1e-8": scaled(few, [1e8, 1e-8, 1.0], C=None),
        "units of 1e8 and 1e-8, penalty": scaled(few, [1e8, 1e-8, 1.0], C=1.0),
        "units of 1e150 and 1e-150": scaled(few, [1e150, 1e-150, 1.0], C=None),
        "units of 1e150 and 1e-150, penalty": scaled(few, [1e150, 1e-150, 1.0], C=1.0),
        "1e6 ± 1": shifted(few, [1e6, -1e6, 0.0], C=None),
        "1e6 ± 1, penalty": shifted(few, [1e6, -1e6, 0.0], C=1.0),
        "1e9 ± 1": shifted(few, [1e9, 0.0, 0.0], C=None),
        "nearly separable": {
            "X": [*split["X"], [3.5, 1.0], [5.5, -1.0], [4.5, 0.5]], "y": [*split["y"], 1, 0, 1],
            "weight": [1.0] * 10 + [1e-6] * 3, "C": None,
        },
        "separable, C of 1e6": {**split, "C": 1e6},
        "separable, C of 1e10, in units of 1e3": scaled(split, [1e3, 1.0], C=1e10),
        "weights over 12 decades": {**few, "weight": decades, "C": None},
        "weights over 12 decades, penalty": {**few, "weight": decades, "C": 1.0},
        "as many cells as coefficients": counted(normal(6, 5, 9), [1, 40, 3, 7, 2, 90], [8, 1, 5, 60, 11, 4], C=None),
        "n = p + 1": {**labelled(normal(6, 5, 10), seed=11), "C": 1.0},
        "n = p + 1, C of 1e6": {**labelled(normal(6, 5, 10), seed=11), "C": 1e6},
        "more columns than rows": {**labelled(normal(8, 15, 12), seed=13), "C": 1.0},
        "rare events": counted(dose, [100000.0] * 10, [0, 0, 1, 0, 2, 1, 0, 3, 2, 4], C=None),
        "rare events, penalty": counted(dose, [100000.0] * 10, [0, 0, 1, 0, 2, 1, 0, 3, 2, 4], C=0.1),
        "rare events, balanced": counted(
            dose, [100000.0] * 10, [0, 0, 1, 0, 2, 1, 0, 3, 2, 4], C=1.0, class_weight="balanced"
        ),
        "float32": {**few, "X": [[float(mp.nint(x * 4096) / 4096) for x in row] for row in few["X"]], "C": None,
                    "storage": "float32"},
        "C of 1e-12": {**uneven, "C": 1e-12},
        "C of 1e12": {**uneven, "C": 1e12},
        "offset": {**few, "offset": [round(draw.uniform(-3, 3), 2) for _ in range(30)], "C": None},
        "offsets up to 30": {**few, "offset": [float(draw.randint(-30, 30)) for _ in range(30)], "C": None},
        "class weights": {**few, "class_weight": {"0": 1e-3, "1": 1e3}, "C": None},
        "no intercept": {**few, "fit_intercept": False, "C": None},
        "sparse, rare column": {**labelled(rare, seed=14), "C": 100.0, "storage": "csr"},
        "sparse, levels": {**counted(levels, up, down, C=1e3), "storage": "csr"},
        "levels but the first": counted([row[1:4] + row[5:] for row in levels], up, down, C=None),
        "column twice, penalty": {**few, "X": [[*row, row[0]] for row in few["X"]], "C": 1e6},
        "three classes": {**several, "C": None},
        "three classes, penalty": {**several, "C": 1.0},
        "three classes, units of 1e8 and 1e-8": scaled(several, [1e8, 1e-8, 1.0], C=None),
        "three classes, 1e6 ± 1": shifted(several, [1e6, 0.0, 0.0], C=None),
        "three classes, offset": {**several, "offset": normal(45, 3, 15, 1), "C": None},
        "three classes, rare": counted(
            cells, [10000.0] * 14, [k % 3 for k in range(14)], [(k + 1) % 2 for k in range(14)], C=None
        ),
        "four classes, weights over 12 decades": {
            **labelled(normal(40, 2, 16), 4, seed=17), "weight": [*decades, *decades[:10]], "C": 1.0,
        },
        "four classes, no intercept": {**labelled(normal(60, 2, 18), 4, seed=19), "C": None, "fit_intercept": False},
        "five classes": {**labelled(normal(100, 2, 20, 1), 5, seed=21), "C": None},
        "five classes, C of 1e8": {**labelled(normal(50, 2, 22), 5, seed=23), "C": 1e8},
    }  # fmt: skip


# --- their optima -----------------------------------------------------------------------------------------------


class Exact:
    """A problem in mpmath: rows with a last entry of one, coefficients as one list, class by class.

    Two classes have one linear predictor, that of class 1; that of class 0 is zero.
    """

    def __init__(self, problem):
        y = problem["y"]
        n_classes = max(y) + 1
        n = len(y)
        self.X = [[mpf(x) for x in row] + [mpf(problem.get("fit_intercept", True))] for row in problem["X"]]
        self.p = len(self.X[0])
        self.K = 1 if n_classes == 2 else n_classes
        self.y = [[mpf(k == label) for k in (range(n_classes) if self.K > 1 else [1])] for label in y]
        self.weight = [mpf(w) for w in problem.get("weight", [1] * n)]
        factors = problem.get("class_weight")
        if factors == "balanced":
            totals = [sum(w for w, label in zip(self.weight, y, strict=True) if label == k) for k in range(n_classes)]
            factors = {str(k): sum(totals) / (n_classes * total) for k, total in enumerate(totals)}
        if factors:
            self.weight = [w * mpf(factors[str(label)]) for w, label in zip(self.weight, y, strict=True)]
        offset = problem.get("offset", [[0] * self.K] * n)
        self.offset = [[mpf(o) for o in (row if isinstance(row, list) else [row])] for row in offset]
        self.penalty = [mpf(0) if problem["C"] is None else 1 / mpf(problem["C"])] * (self.p - 1) + [mpf(0)]
        self.free = problem.get("fit_intercept", True)

    def eta(self, coef):
        p = self.p
        return [
            [sum(map(mp.fmul, coef[k * p : k * p + p], x)) + o[k] for k in range(self.K)]
            for x, o in zip(self.X, self.offset, strict=True)
        ]

    def probabilities(self, eta):
        reference = [0] if self.K == 1 else []
        top = max(*eta, *reference) if len(eta) + len(reference) > 1 else eta[0]
        exponentials = [mp.exp(e - top) for e in eta]
        total = sum(exponentials) + sum(mp.exp(r - top) for r in reference)
        return [e / total for e in exponentials]

    def value(self, coef):
        total = mpf(0)
        for eta, y, w in zip(self.eta(coef), self.y, self.weight, strict=True):
            terms = eta + [mpf(0)] if self.K == 1 else eta
            top = max(terms)
            total += w * (top + mp.log(sum(mp.exp(e - top) for e in terms)) - sum(map(mp.fmul, y, eta)))
        return total + sum(self.penalty[i % self.p] * c**2 for i, c in enumerate(coef)) / 2

    def derivatives(self, coef):
        """Gradient and Hessian."""
        p, K = self.p, self.K
        size = K * p
        gradient = [self.penalty[i % p] * c for i, c in enumerate(coef)]
        hessian = mp.diag([self.penalty[i % p] for i in range(size)])
        for x, eta, y, w in zip(self.X, self.eta(coef), self.y, self.weight, strict=True):
            slope, curvature = self.slope_curvature(eta, y)
            for k in range(K):
                for j in range(p):
                    gradient[k * p + j] += w * slope[k] * x[j]
                    for m in range(K):
                        r = w * curvature[k][m] * x[j]
                        for q in range(p):
                            hessian[k * p + j, m * p + q] += r * x[q]
        return gradient, hessian

    def slope_curvature(self, eta, y):
        prob = self.probabilities(eta)
        slope = [a - b for a, b in zip(prob, y, strict=True)]
        return slope, [[prob[k] * ((k == m) - prob[m]) for m in range(self.K)] for k in range(self.K)]

    def rounding(self, coef, inverse):
        """First-order bound on the change of every coefficient by rounding, without the factor u."""
        p, K = self.p, self.K
        change = [mpf(0)] * len(coef)
        products = [self.penalty[i % p] * abs(c) for i, c in enumerate(coef)]
        for x, eta, y, w, o in zip(self.X, self.eta(coef), self.y, self.weight, self.offset, strict=True):
            slope, curvature = self.slope_curvature(eta, y)
            moved = [sum(abs(coef[k * p + j] * x[j]) for j in range(p)) + abs(o[k]) for k in range(K)]
            for k in range(K):
                of_slope = sum(abs(curvature[k][m]) * moved[m] for m in range(K)) + abs(slope[k])
                for i in range(len(coef)):
                    change[i] += abs(w * sum(inverse[i, k * p + j] * x[j] for j in range(p))) * of_slope
                for j in range(p):
                    products[k * p + j] += abs(w * slope[k] * x[j])
        return [c + sum(abs(inverse[i, j]) * products[j] for j in range(len(coef))) for i, c in enumerate(change)]

    def inverse(self, hessian):
        """H⁻¹ on what is determined: not the intercept where there is none, nor shifts of all classes at once."""
        p, K = self.p, self.K
        H = hessian.copy()
        scale = [mp.sqrt(H[i, i]) if H[i, i] else mpf(1) for i in range(K * p)]
        shifts = [j for j in range(p if self.free else p - 1) if K > 1 and self.penalty[j] == 0]
        for j in shifts:
            for k in range(K):
                for m in range(K):
                    H[k * p + j, m * p + j] += scale[j] ** 2
        if not self.free:
            for k in range(K):
                H[k * p + p - 1, k * p + p - 1] = mpf(1)
        for i in range(K * p):
            for j in range(K * p):
                H[i, j] /= scale[i] * scale[j]
        inverse = mp.inverse(H)
        for i in range(K * p):
            for j in range(K * p):
                inverse[i, j] /= scale[i] * scale[j]
        for j in range(p if K > 1 else 0):  # the optimum has no shift, by choice or by the penalty
            for c in range(K * p):
                mean = sum(inverse[k * p + j, c] for k in range(K)) / K
                for k in range(K):
                    inverse[k * p + j, c] -= mean
        if not self.free:
            for k in range(K):
                for c in range(K * p):
                    inverse[k * p + p - 1, c] = mpf(0)
        return inverse

    def optimum(self):
        """Damped Newton from zero to the last digits; returns coefficients, H and H⁻¹."""
        coef = [mpf(0)] * (self.K * self.p)
        for _ in range(300):
            gradient, hessian = self.derivatives(coef)
            inverse = self.inverse(hessian)
            step = [-sum(map(mp.fmul, inverse[i, :], gradient)) for i in range(len(coef))]
            decrement = -sum(map(mp.fmul, gradient, step))
            largest = max(abs(s) / abs(c) if c else abs(s) for s, c in zip(step, coef, strict=True) if s)
            if largest < mpf(10) ** (-SHOWN - 10):
                return coef, hessian, inverse
            size, value = mpf(1), self.value(coef)
            while True:
                trial = [c + size * s for c, s in zip(coef, step, strict=True)]
                at_rounding = decrement < mpf(10) ** (20 - DIGITS) * abs(value)
                if at_rounding or self.value(trial) <= value - decrement * size / 10000:
                    break
                size /= 2
            coef = trial
        raise RuntimeError("Newton's method has not converged")

    def condition(self, hessian):
        """Condition of the Hessian in weighted centred columns with a unit diagonal, on what is determined."""
        p, K = self.p, self.K
        total = sum(self.weight)
        mean = [sum(w * x[j] for w, x in zip(self.weight, self.X, strict=True)) / total for j in range(p - 1)]
        centre = mp.eye(K * p)
        for k in range(K):
            for j in range(p - 1):
                centre[k * p + p - 1, k * p + j] = -mean[j] if self.free else 0
        H = centre.T * hessian * centre
        kept = [i for i in range(K * p) if H[i, i] != 0]
        D = [1 / mp.sqrt(H[i, i]) for i in kept]
        with mp.workdps(60):  # after the cancellations
            S = mp.matrix([[H[i, j] * D[a] * D[b] for b, j in enumerate(kept)] for a, i in enumerate(kept)])
            values = [v for v in mp.eigsy(S, eigvals_only=True) if v > mpf(10) ** -30]
            return max(values) / min(values)


def solved(problem):
    """The problem with its optimum, and how well double precision and a solver can know it."""
    exact = Exact(problem)
    coef, hessian, inverse = exact.optimum()
    relative = max(mpf(2) ** -53 * d / abs(c) for d, c in zip(exact.rounding(coef, inverse), coef, strict=True) if c)
    p = exact.p
    return {
        **problem,
        "condition": float(mp.nstr(exact.condition(hessian), 3)),
        "attainable": float(mp.nstr(-mp.log10(relative), 3)),
        "coef": [[mp.nstr(c, SHOWN) for c in coef[k * p : k * p + p]] for k in range(exact.K)],
    }


def main():
    found = {}
    for name, problem in problems().items():
        found[name] = solved(problem)
        known = found[name]["condition"], found[name]["attainable"]
        print(f"{name:40} condition {known[0]:8.1e}, attainable {known[1]:4.1f}", flush=True)
    entries = []
    for name, problem in found.items():
        fields = ",\n".join(f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in problem.items())
        entries.append(f" {json.dumps(name, ensure_ascii=False)}: {{\n{fields}\n }}")
    path = Path(__file__).with_name("problems.json")
    path.write_text("{\n" + ",\n".join(entries) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
