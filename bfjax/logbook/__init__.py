"""What a run writes down, draws and says."""
