"""Face recognition trained on noisy labels, in JAX."""
