"""Row numbers to images: files, sources, decoding and the input stream."""
