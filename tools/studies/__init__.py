"""A study: many trainings of one config file, their tables and charts."""
