"""The search: every arm gets the same budget, on Ray Tune, with one Optuna study per arm."""
