"""Keys and options that are not there: what each could be, and all of a command at once."""

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import fields
from difflib import get_close_matches
from itertools import pairwise
from pathlib import Path
from typing import get_type_hints

from hydra.core.config_store import ConfigStore

from yolo26_attention.config.models import OTHER_TASKS, TASK_SUFFIXES
from yolo26_attention.config.plain_yaml import key_of
from yolo26_attention.config.schema import SCHEMAS
from yolo26_attention.config.ultralytics_arguments import NEAREST_OPTIMIZER, OTHER_OPTIMIZERS, answer

CONF = Path(__file__).parents[3] / "conf"
OF_SWEEP = ("plan", "status", "pilot", "seeds", "timing", "wandb")
SHOWN = "see the options with --cfg job"
FOLDER = ("-cd", "--config-dir")


def given(key: str | None, overrides: Sequence[str], otherwise: str | None = None) -> str:
    """The override that sets a key, or else its group; the last of several, which takes effect."""
    key = str(key)
    names = [(key_of(override), override) for override in reversed(overrides)]
    own = [override for name, override in names if name == key or name.startswith((f"{key}.", f"{key}@"))]
    around = [override for name, override in names if key.startswith(f"{name}.")]
    return next(iter([*own, *around]), otherwise or key)


def with_others(first: str, overrides: Sequence[str], schema: type) -> str:
    """Add a line to an error for every other override that names what is not there, in the order of the command.

    Args:
        first: the error that Hydra found first; it usually begins with its override.
        overrides: of the command line.
        schema: of the whole configuration, with the keys that are no group's.
    """
    before = [first]
    lines: list[str | None] = []
    for override in overrides:
        if first.startswith(f"{override}:"):
            before.clear()
            lines.append(first)
        else:
            lines.append(_refused(override, overrides, {field.name for field in fields(schema)} | {"point"}))
    return "\n".join(dict.fromkeys(filter(None, [*before, *lines])))


def _refused(override: str, overrides: Sequence[str], top: Collection[str]) -> str | None:
    """Describe an override whose key or option is in no schema; None if it may be right."""
    key, equals, value = override.partition("=")
    if not equals or not re.fullmatch(r"[a-z]\w*(\.\w+)*", key) or key.startswith("hydra"):
        return None
    group, _, name = key.partition(".")
    if key in SCHEMAS:
        there = _options(key, overrides)
        missing = [each for each in value.split(",") if re.fullmatch(r"[\w./-]+", each) and each not in there]
        return no_such_option(key, missing[0], there, overrides) if missing else None
    if group not in SCHEMAS:
        return None if group in top else no_such_key(key, (), overrides)
    known = {field for schema in SCHEMAS[group].values() for field in get_type_hints(schema)}
    own = group == "attention" and any(each.startswith(FOLDER) for each in overrides)
    return None if own or name.partition(".")[0] in known else no_such_key(key, known, overrides)


def _options(group: str, overrides: Sequence[str]) -> list[str]:
    """The options of a group, in `conf/`, in the folder that -cd gives, and registered."""
    folders = [CONF]
    folders += [Path(after) for before, after in pairwise(overrides) if before in FOLDER]
    folders += [Path(each.partition("=")[2]) for each in overrides if each.startswith("--config-dir=")]
    found = {file.stem for folder in folders for file in (folder / group).glob("*.yaml")}
    registered = ConfigStore.instance().repo.get(group, {})
    return sorted(found | {name.removesuffix(".yaml") for name in registered})


def no_such_option(group: str, name: str, there: Sequence[str], overrides: Sequence[str]) -> str:
    """Say what could be meant by an option that a group does not have.

    Args:
        group: such as `attention`.
        name: that is not there.
        there: the options of the group.
        overrides: of the command line.
    """
    if not name:
        return f"{given(group, overrides)}: choose one of {', '.join(there)}"
    typed = given(group, overrides, f"{group}={name}")
    if group == "optimizer" and name.lower() in map(str.lower, OTHER_OPTIMIZERS):
        return f"{typed}: {NEAREST_OPTIMIZER}; choose {', '.join(there)}"
    smallest = [f"{name}n"] if f"{name}n" in there else []  # of a family of networks, such as yolo11
    close = smallest or get_close_matches(name.lower(), there, 1)
    hint = f"did you mean {close[0]}? " if close else ""
    if not close and group != "model" and not set(FOLDER) & set(overrides):
        hint = f"for one of your own add -cd DIR, the folder that has {group}/{name}.yaml; "
    known = f"did you mean {group}={Path(name).stem}? " if Path(name).stem in there else ""
    if group == "data" and name.endswith((".yaml", ".yml")):
        hint = f"{known}a data set of your own is data.yaml={name}; "
    if group == "model" and name.endswith(TASK_SUFFIXES):
        return f"{typed}: {OTHER_TASKS.format(f'{name}.yaml')}"
    if group == "model" and name.endswith((".yaml", ".yml")):
        return f"{typed}: there is no model {name}; {known}a network of your own is model.yaml={name}"
    if group == "model" and name.endswith(".pt"):
        network = f", such as model={Path(name).stem}" if known else ""
        return (
            f"{typed}: there is no model {name}; a checkpoint is model.weights={name}, beside the network that it "
            f"fits{network}"
        )
    return f"{typed}: there is no {group} {name}; {hint}choose {', '.join(there)}"


def no_such_key(missing: str, there: Iterable[str], overrides: Sequence[str]) -> str:
    """Say what could be meant by a key that is no option.

    Args:
        missing: the full key.
        there: keys beside it that are there.
        overrides: of the command line.
    """
    typed = given(missing, overrides)
    if known := answer(missing):
        return f"{typed}: there is no option {missing}; {known}"
    parent, _, name = missing.rpartition(".")
    if not parent and name in OF_SWEEP:
        return f"{typed}: there is no option {missing} here; it is one of python -m src.sweep"
    inside = [group for group, kinds in SCHEMAS.items() if any(name in get_type_hints(kind) for kind in kinds.values())]
    close = get_close_matches(name, sorted(there), 1)
    if not parent and inside:
        close = [f"{inside[0]}.{name}"]
    hint = f"did you mean {'.'.join(filter(None, [parent, close[0]]))}? " if close else ""
    return f"{typed}: there is no option {missing}; {hint}{SHOWN}"
