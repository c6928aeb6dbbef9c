"""A fresh process each time: imports, and the first fit with and without compiled kernels on disk.

scikit-learn's own figures stand beside them as the yardstick; the time of starting the interpreter counts in none.
"""

DATA = """
import numpy as np
rng = np.random.default_rng(0)
X = rng.standard_normal((1000, 10))
y = (X[:, 0] + rng.standard_normal(1000) > 0).astype(int)
"""
# Removed when the process ends.
EMPTY_CACHE = """
import os, tempfile
cache = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
os.environ["NUMBA_CACHE_DIR"] = cache.name
"""


class Start:
    repeat = 3
    rounds = 1
    number = 1
    warmup_time = 0

    def timeraw_import_package(self):
        return "import fastlogreg"

    def timeraw_import_estimator(self):
        return "from fastlogreg import LogisticRegression"

    def timeraw_import_sklearn(self):
        return "from sklearn.linear_model import LogisticRegression"


class FirstFit:
    """The same problem as in DATA; imports of everything but NumPy count."""

    params = ("fastlogreg", "fastlogreg, empty cache", "scikit-learn")
    param_names = ("library",)
    repeat = 3
    rounds = 1
    number = 1
    warmup_time = 0

    def setup(self, library):
        if library == "fastlogreg":  # writes the cache
            exec(DATA + first_fit(library))

    def timeraw_first_fit(self, library):
        return first_fit(library), DATA + EMPTY_CACHE * library.endswith("empty cache")


def first_fit(library):
    module = "sklearn.linear_model" if library == "scikit-learn" else "fastlogreg"
    return f"from {module} import LogisticRegression\nLogisticRegression().fit(X, y)\n"
