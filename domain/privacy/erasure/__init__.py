"""Remove subjects from Parquet files at the cost of the row groups that hold them."""
