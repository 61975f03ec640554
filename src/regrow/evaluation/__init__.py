"""Evaluation: a network on clean and corrupted cells, per-image records, and the numbers that follow from records."""
