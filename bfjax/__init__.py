"""Face recognition trained on noisy labels, in JAX."""

__version__ = '0.1.0'
