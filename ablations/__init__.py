"""Evidence: statistics, tables and reports, made from a study's Parquet rows alone."""
