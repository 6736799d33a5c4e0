"""Hydra's launchers, extended to report every unfinished run. Hydra loads plugins only from `hydra_plugins`."""
