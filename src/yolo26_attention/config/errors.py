"""What a user's configuration is refused with. Free of Hydra, for those who only read what runs left."""


class ConfigError(ValueError):
    """A configuration that cannot be run; the message names the key, the value and a way out."""
