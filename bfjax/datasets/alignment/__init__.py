"""From raw photos to aligned crops."""
