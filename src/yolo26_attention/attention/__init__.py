"""Attention mechanisms in pure torch, one per file, independent of YOLO; the package itself imports nothing."""
