"""Data: the embedded digits (`digits`, drawn by `scenes`) and any data set by name or YAML."""
