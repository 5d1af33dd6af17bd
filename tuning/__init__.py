"""The search: every arm gets the same budget, on Ray Tune, with one Optuna study per arm."""

from masll.common.command import need_extra

need_extra("search", "ray", "optuna", "pyarrow", "rich")
