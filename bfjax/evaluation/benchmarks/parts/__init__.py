"""What benchmarks are made of: their lists, images and searches."""
