"""The keys of a config: which there are, what they may be, what they make."""
