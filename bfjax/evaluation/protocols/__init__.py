"""The mathematics of protocols, on arrays and scores: knows no files."""
