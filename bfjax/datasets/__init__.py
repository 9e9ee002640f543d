"""What the tools do to data sets: convert, look into, add noise to them."""
