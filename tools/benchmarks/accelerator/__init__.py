"""What is asked of a card; see `benchmarks.gpu`."""
