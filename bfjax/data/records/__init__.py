"""RecordIO: `train.rec` and its index."""
