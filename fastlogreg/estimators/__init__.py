"""The estimators users import: scikit-learn's words outside, ours inside."""
