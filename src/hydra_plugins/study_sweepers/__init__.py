"""Hydra's sweepers that a study uses. Hydra loads plugins only from `hydra_plugins`."""
