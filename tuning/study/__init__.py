"""The study folder: the contract between the search that fills it and the reports that read it.

Arms and trials, the rows of the three Parquet folders, the spec, where everything lies, one reader,
one writer, and the lock. Imports neither Ray nor Optuna nor PyTorch.
"""
