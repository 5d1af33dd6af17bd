"""Evidence: statistics, tables and reports, made from Parquet rows alone; external sets."""

from masll.common.command import need_extra

need_extra("report", "pandas", "pyarrow", "scipy", "sklearn", "matplotlib", "rich")
