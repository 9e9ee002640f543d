"""What is wrong with a data set, told from its embeddings, and what to do."""
