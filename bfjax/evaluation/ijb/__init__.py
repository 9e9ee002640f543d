"""IJB-B and IJB-C: templates of images, verified and searched."""
