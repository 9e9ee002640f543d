"""Exact search in large galleries."""
