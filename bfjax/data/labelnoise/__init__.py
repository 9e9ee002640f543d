"""Wrong labels: put in on purpose, and what a run has corrected."""
