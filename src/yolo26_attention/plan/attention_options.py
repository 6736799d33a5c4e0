"""Check the attention, its placement and what a placebo matches, and specify the graft.

The values of an attention's options are checked in `attention/options.py` and by the module itself.
"""

import inspect
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from yolo26_attention.attention.options import BASELINE, resolve_options
from yolo26_attention.config.errors import ConfigError, as_config_error
from yolo26_attention.config.run_config import OwnPlaceboConfig, RunConfig
from yolo26_attention.config.schema import SCHEMAS, PlaceboConfig
from yolo26_attention.detector.importing import find_class
from yolo26_attention.detector.own_imports import compile_from_source
from yolo26_attention.detector.placebo_size import Match
from yolo26_attention.detector.specification import Graft
from yolo26_attention.detector.trust import Trust, check_target, is_shipped
from yolo26_attention.plan.identity import ABOUT_CLASS
from yolo26_attention.plan.own_code import imported_fingerprint


def resolve_attention(attention: Mapping[str, Any], trust: Trust) -> Mapping[str, Any]:
    """Check the attention group; that of a user's class gets a fingerprint of its code, as changed code is a new run.

    Raises:
        ConfigError: if it lacks a key, uses a reserved one, or its class is not trusted.
    """
    compile_from_source()
    missing = [key for key in ("name", "_target_") if key not in attention]
    if "_target_" in attention:
        with as_config_error():
            check_target("attention._target_", attention["_target_"], trust)
    shipped = SCHEMAS["attention"].get(attention.get("name", ""))
    if shipped is not None and attention.get("_target_") != getattr(shipped, "_target_", None):
        raise ConfigError(
            f"attention.name={attention['name']} means another class than "
            f"attention._target_={attention.get('_target_')}; choose attention=NAME, or give the class its own name"
        )
    if "source" in attention:
        raise ConfigError(
            f"attention.source={attention['source']}: source is reserved for the fingerprint of your code, as are name "
            f"and _target_ for the attention; rename this option in your YAML and in {attention.get('_target_')}"
        )
    if attention.get("name") == BASELINE or (not missing and is_shipped(attention["_target_"])):
        return attention
    if missing:
        raise ConfigError(
            f"attention.name={attention.get('name')}: your YAML has no {missing[0]}; it needs `name: NAME` and "
            "`_target_: MODULE.CLASS`, and may have options of the class"
        )
    _check_reserved(attention)
    return {**attention, "source": _source(attention["_target_"])}


def specify_graft(config: RunConfig, trust: Trust, key: str = "") -> Graft | None:
    """Specify the graft of a configuration with one attention, which is resolved; None for the baseline.

    Args:
        config: configuration of the run.
        trust: what may run.
        key: its key in a mix, for messages.

    Raises:
        ConfigError: if the options of a placebo do not fit what it matches.
    """
    if config.attention["name"] == BASELINE:
        return None
    options = {name: value for name, value in config.attention.items() if name not in ABOUT_CLASS}
    return Graft(
        config.attention["_target_"],
        options,
        tuple(config.placement.sites),
        config.seed,
        config.placement.mode.value,
        config.placement.gate.value,
        _match(config, trust) if config.attention["name"] == "placebo" else None,
        config.attention["name"],
        key,
    )


def resolve_placebo(placebo: PlaceboConfig, match: Match) -> PlaceboConfig:
    """The placebo group with all options of the attention that it matches, and the source of a user's class."""
    values = {field.name: getattr(placebo, field.name) for field in fields(PlaceboConfig)}
    values["options"] = dict(match.options)
    if is_shipped(match.target):
        return PlaceboConfig(**values)
    return OwnPlaceboConfig(**values, source=_source(match.target))


def _match(config: RunConfig, trust: Trust) -> Match:
    placebo = config.placebo
    given = {} if placebo.options is None else placebo.options
    if not isinstance(given, Mapping):
        raise ConfigError(f"placebo.options={given} is not a set of options; write placebo.options={{kernel_att: 5}}")
    try:
        target, options = resolve_options(placebo.matches, given)
    except ValueError as error:
        raise ConfigError(f"placebo.matches={placebo.matches}: {error}") from error
    with as_config_error():
        check_target("placebo.matches", target, trust)
    return Match(placebo.matches, target, options, placebo.by.value, config.trainer.imgsz)


def _check_reserved(attention: Mapping[str, Any]) -> None:
    """Refuse a user's class with an option that has the name of a key of this program, and so would never reach it."""
    target = attention["_target_"]
    try:
        taken = [key for key in ABOUT_CLASS if key in inspect.signature(find_class(target)).parameters]
    except (ValueError, TypeError):  # it cannot be imported, which the caller reports, or has no signature
        return
    if taken:
        raise ConfigError(
            f"attention._target_={target} has an option {taken[0]}, but {', '.join(ABOUT_CLASS)} are reserved for the "
            "attention itself and never reach the class; rename the option"
        )


def _source(target: str) -> str | None:
    """Fingerprint of a class's code, as changed code is a new run."""
    try:
        return imported_fingerprint(find_class(target))
    except (ValueError, TypeError) as error:
        raise ConfigError(str(error)) from error
