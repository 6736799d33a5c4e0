"""Register schemas and plugins with Hydra, and convert composed configurations to typed ones."""

import sys
from collections.abc import Iterator
from importlib import import_module
from typing import cast

from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from omegaconf import DictConfig, ListConfig, OmegaConf

from yolo26_attention.compat.hydra import share_schemas
from yolo26_attention.config.attention_help import attention_help
from yolo26_attention.config.errors import ConfigError
from yolo26_attention.config.models import BASELINES
from yolo26_attention.config.run_config import RunConfig
from yolo26_attention.config.schema import SCHEMAS, Config, DescribeConfig, ExportConfig, ModelConfig

PLUGINS = (
    "study_launchers.in_turn",
    "study_launchers.local",
    "study_launchers.ray",
    "study_launchers.slurm",
    "study_sweepers.optuna",
)


def register_configs() -> None:
    """Store the schemas in Hydra's ConfigStore under `schema/GROUP/NAME`, separate from the options that users pick."""
    _register_plugins()
    OmegaConf.register_new_resolver("attention_help", attention_help, replace=True)  # conf/hydra/help/mechanism.yaml
    share_schemas()
    store = ConfigStore.instance()
    store.store(name="schema", node=Config)
    store.store(name="schema_describe", node=DescribeConfig)
    store.store(name="schema_export", node=ExportConfig)
    for group, options in SCHEMAS.items():
        for name, node in options.items():
            store.store(group=f"schema/{group}", name=name, node=node)
    for name in BASELINES:
        store.store(group="model", name=name, node=ModelConfig(name))


def _register_plugins() -> None:
    """Register our launchers and sweepers, because Hydra's search of folders does not find an editable install."""
    plugins = Plugins.instance()
    for name in PLUGINS:
        module = import_module(f"hydra_plugins.{name}")
        for found in vars(module).values():
            if (
                isinstance(found, type)
                and issubclass(found, Launcher | Sweeper)
                and found.__module__ == module.__name__
            ):
                plugins.register(found)


def run_config(config: DictConfig) -> RunConfig:
    """Convert the composed configuration of a run, and make the folder given with -cd importable.

    Raises:
        ConfigError: for a key that `+key=value` added outside the schema.
    """
    _prepare(config)
    return RunConfig.from_omegaconf(config)


def export_config(config: DictConfig) -> ExportConfig:
    """Convert the composed configuration of an export, and make the folder given with -cd importable.

    Raises:
        ConfigError: for a key that `+key=value` added outside the schema.
    """
    _prepare(config)
    return cast(ExportConfig, OmegaConf.to_object(config))


def _prepare(config: DictConfig) -> None:
    """Refuse added keys and what is no list, and make the user's folders importable."""
    if added := added_keys(config):
        value = OmegaConf.select(config, added[0])
        raise ConfigError(f"+{added[0]}={value}: there is no option {added[0]}; see the options with --cfg job")
    for key, written in _interpolated_lists(config):
        value = OmegaConf.select(config, key)
        if not isinstance(value, ListConfig):
            raise ConfigError(f"{key}={written}: {value} is not a list; write {key}=[{written}]")
    sys.path += [folder for folder in own_folders() if folder not in sys.path]


def own_folders() -> list[str]:
    """The folders given with -cd, which hold the user's code."""
    if not HydraConfig.initialized():
        return []
    sources = HydraConfig.get().runtime.config_sources
    return [source.path for source in sources if "command-line" in source.provider]


def given_overrides() -> list[str]:
    """Overrides of the command line or of one job of a sweep; the program's arguments if Hydra has none."""
    return list(HydraConfig.get().overrides.task) if HydraConfig.initialized() else sys.argv[1:]


def _interpolated_lists(config: DictConfig) -> Iterator[tuple[str, str]]:
    """Full keys of list options that are given by an interpolation, which OmegaConf does not check, and its text."""
    for key, node in config.items_ex(resolve=False):
        name = str(key)
        if not OmegaConf.is_interpolation(config, name):
            if isinstance(node, DictConfig):
                yield from ((f"{name}.{inner}", written) for inner, written in _interpolated_lists(node))
        elif isinstance(node, ListConfig):
            yield name, str(OmegaConf.to_container(node, resolve=False))


def added_keys(config: DictConfig) -> list[str]:
    """Full keys that `+key=value` added outside the schema; no option of ours reads them."""
    schema = OmegaConf.get_type(config)
    known = getattr(schema, "__dataclass_fields__", None)
    added = [] if known is None else [str(key) for key in config if key not in known]
    for key, node in config.items_ex(resolve=False):
        group = str(key)
        if isinstance(node, DictConfig) and group not in added:
            added += [f"{group}.{name}" for name in added_keys(node)]
    return added
