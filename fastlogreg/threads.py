"""How many threads to use."""

import joblib


def allowed_threads(n_jobs=None):
    """Return the number of threads for ``n_jobs``: None is all cores the process is allowed, -1 likewise."""
    allowed = joblib.cpu_count()
    if n_jobs is None:
        return allowed
    return max(1, min(n_jobs if n_jobs > 0 else allowed + 1 + n_jobs, allowed))
