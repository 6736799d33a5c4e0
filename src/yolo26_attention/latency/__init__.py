"""Latency and memory of a network, always relative to the stock network of the same size."""
