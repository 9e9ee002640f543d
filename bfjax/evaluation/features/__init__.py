"""Embeddings of many images: computed, saved and read."""
