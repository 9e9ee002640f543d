"""What benchmarks find, as data, tables, charts and pages."""
