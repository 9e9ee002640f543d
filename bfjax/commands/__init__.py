"""The commands of `bfjax`, and of tools/: a file each, see `bfjax.program`."""
