"""1:1 verification: protocols, thresholds and ROC curves."""
