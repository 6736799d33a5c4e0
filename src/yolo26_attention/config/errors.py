"""The error for invalid configurations. Free of Hydra, so that readers of runs can import it."""


class ConfigError(ValueError):
    """Invalid configuration; the message names the key, the value and a way out."""
