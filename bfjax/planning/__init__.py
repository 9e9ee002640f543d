"""A plan: the training step compiled for cards that need not be here."""
