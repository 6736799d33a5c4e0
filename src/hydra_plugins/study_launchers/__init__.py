"""Hydra's launchers, made to tell every run that did not finish. Hydra loads plugins from `hydra_plugins` only."""
