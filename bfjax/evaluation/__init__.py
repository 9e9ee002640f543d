"""How good the embeddings are: verification protocols and benchmarks."""
