"""Benchmarks: baselines, data makers, rival libraries and facts of the machine. Not part of the installed package."""
