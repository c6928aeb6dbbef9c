"""Suite of airspeed velocity: `make asv` runs it over the history of the package.

asv imports this folder alone, in an environment that holds one commit's package and its requirements, so nothing
here uses the rest of `bench`. Each benchmark starts a new interpreter, and `setup` runs again before each
repetition: data are kept by problems.py, kernels are compiled before the clock starts. Where an old commit lacks what
a benchmark imports, asv records n/a for it.
"""
