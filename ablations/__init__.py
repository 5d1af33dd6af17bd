"""Evidence: statistics, tables and reports, made from a study's Parquet rows alone."""

from masll.common.command import need_extra

need_extra("report", "pandas", "pyarrow", "scipy", "sklearn", "matplotlib", "rich")
