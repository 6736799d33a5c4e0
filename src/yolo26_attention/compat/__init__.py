"""Every patch and private API of Hydra, Ultralytics and torch, with upstream version, reason and test."""
