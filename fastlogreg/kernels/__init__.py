"""All numba code of the package, and nothing but numba code."""
