"""Logistic regression compiled with numba, behind the scikit-learn API.

The public names are resolved on first use, so that importing the package loads neither numba
nor scikit-learn, compiles nothing and starts no thread.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the same names once more, where type checkers and editors can see them
    from fastlogreg import functional as functional
    from fastlogreg import path_plots as path_plots
    from fastlogreg import plots as plots
    from fastlogreg.estimators.cv import LogisticRegressionCV as LogisticRegressionCV
    from fastlogreg.estimators.logistic import LogisticRegression as LogisticRegression
    from fastlogreg.estimators.path import LogisticRegressionPath as LogisticRegressionPath
    from fastlogreg.estimators.path import logistic_path as logistic_path
    from fastlogreg.estimators.stochastic import SGDLogisticRegression as SGDLogisticRegression
    from fastlogreg.result import ConvergenceWarning as ConvergenceWarning
    from fastlogreg.result import DivergenceWarning as DivergenceWarning
    from fastlogreg.result import SeparationWarning as SeparationWarning

__version__ = "0.1.0.dev0"

#: Public name -> the module that defines it; a module stands for itself.
_HOME = {
    "ConvergenceWarning": "fastlogreg.result",
    "DivergenceWarning": "fastlogreg.result",
    "LogisticRegression": "fastlogreg.estimators.logistic",
    "LogisticRegressionCV": "fastlogreg.estimators.cv",
    "LogisticRegressionPath": "fastlogreg.estimators.path",
    "SGDLogisticRegression": "fastlogreg.estimators.stochastic",
    "SeparationWarning": "fastlogreg.result",
    "functional": "fastlogreg.functional",
    "logistic_path": "fastlogreg.estimators.path",
    "path_plots": "fastlogreg.path_plots",
    "plots": "fastlogreg.plots",
}

__all__ = [*_HOME, "__version__"]


def __getattr__(name: str) -> object:
    """Import the home of a public name when it is first asked for (PEP 562)."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = import_module(_HOME[name])
    value = module if module.__name__ == f"{__name__}.{name}" else getattr(module, name)
    globals()[name] = value  # the next look-up is an ordinary one
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
