"""What `benchmarks.eval` measures: a module for each kind of test."""
