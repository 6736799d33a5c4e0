"""Attention mechanisms in pure torch, one a file; nothing here knows of YOLO, and the package loads nothing."""
