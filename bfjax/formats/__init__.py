"""The bytes of others' files: RecordIO, verification packs, TFDS sets."""
