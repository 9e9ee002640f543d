"""What the part `data` is made of."""
