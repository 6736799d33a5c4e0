"""Attention mechanisms in pure torch, one a file; nothing here knows of YOLO, and importing the package loads nothing."""
