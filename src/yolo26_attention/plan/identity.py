"""The identity of a run: equal for runs of the same experiment, and part of the folder's name.

An identity is a hash over a version, the content of the data set and of the starting checkpoint, the seed, and every
option that differs from plan/identity_table.py. It ignores module paths of shipped classes, the notation of numbers
(1 or 1.0) and options at the table's value, so neither an upgrade of this program nor a moved file causes retraining.
VERSION increases when the same options mean another training; runs of an earlier version are then found by a frozen
copy of their identity, such as src/yolo26_attention/plan/identity_v0.py.
"""

import json
import re
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Any

from yolo26_attention.attention.options import ATTENTION_SCHEMAS, BASELINE
from yolo26_attention.config.errors import ConfigError
from yolo26_attention.config.run_config import RunConfig
from yolo26_attention.config.schema import PASCAL_VOC, Gate, Mode, VocDataConfig
from yolo26_attention.files.digest import json_digest
from yolo26_attention.plan.identity_table import ALWAYS, ATTENTION, OPTIMIZER, OUT, PROGRAM, TRAINER, TUNED

VERSION = 1
LONGEST_MIX = 80  # characters of a mix in a folder's name
# Keys of the attention group that are not options of the class.
ABOUT_CLASS = ("name", "_target_", "source")
# Names of YAML files that do not tell one data set from another.
SAY_NOTHING = ("data", "dataset")


def identity(config: Mapping[str, Any], data: str, weights: str | None) -> str:
    """Compute the twelve hexadecimal digits that identify an experiment.

    Args:
        config: the resolved configuration as plain values, which the records of every version have.
        data: fingerprint of the data set, in place of its path.
        weights: fingerprint of the starting checkpoint, in place of its path; None for a random start.
    """
    return json_digest(identity_content(config, data, weights))[:12]


def identity_content(config: Mapping[str, Any], data: str, weights: str | None) -> dict[str, Any]:
    """The content that `identity` hashes, in readable form. Same arguments as `identity`."""
    defined = defining(config)
    content: dict[str, Any] = differing(defined, {**PROGRAM, "optimizer": {**OPTIMIZER, **TUNED}, "trainer": TRAINER})
    content |= {"version": VERSION, "data": data, "model": {"name": config["model"]["name"], "weights": weights}}
    if "digest" in config["model"]:
        content["model"]["digest"] = config["model"]["digest"]
    content["attention"] = _mix(config["attention"]) if attention_is_mix(config) else _attention(config["attention"])
    if "placement" in content:
        content["placement"]["sites"] = sorted(set(config["placement"]["sites"]))
    if "placebo" in content:
        options = defined["placebo"]["options"] or {}
        content["placebo"]["options"] = differing(options, ATTENTION.get(defined["placebo"]["matches"], {}))
    if isinstance(layers := content["trainer"].get("freeze"), int):
        content["trainer"]["freeze"] = list(range(layers))
    if content["trainer"].get("steps") is not None:
        del content["trainer"]["epochs"]  # follows from the steps
    return content


def images_in_memory(trainer: Mapping[str, Any]) -> bool:
    """Whether the training caches images in memory, which changes its mosaics; a cache on disk changes nothing."""
    return trainer.get("cache") in (True, "ram")


def defining(config: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a resolved configuration that affects the result.

    Options that a configuration of an earlier version lacks get the value that matches its behaviour.
    """
    attention = config["attention"]["name"]
    optimizer = {**OPTIMIZER, **(TUNED if "lr0" in config["optimizer"] else {})}
    table = {**PROGRAM, "optimizer": optimizer, "trainer": TRAINER, "attention": ATTENTION.get(attention, {})}
    content: dict[str, Any] = _filled(config, table)
    content["trainer"]["cache"] = "ram" if images_in_memory(config["trainer"]) else False
    if attention != "placebo":
        content.pop("placebo", None)  # it describes what the placebo matches
    if attention == "mix":
        content.pop("placement", None)  # each attention has its own
    if attention == BASELINE:
        # No effect on the baseline: one serves all placements and all graft options.
        content.pop("placement", None)
        del content["optimizer"]["attention"]
    return content


def differing(values: Mapping[str, Any], table: Mapping[str, Any]) -> dict[str, Any]:
    """The values that the table does not leave out, in canonical form."""
    content: dict[str, Any] = {}
    for key, value in values.items():
        entry = table.get(key, ALWAYS)
        if isinstance(entry, Mapping) and isinstance(value, Mapping):
            if inner := differing(value, entry):
                content[key] = inner
        elif entry is not OUT:
            plain = _plain(value)
            if entry is ALWAYS or json.dumps(plain) != json.dumps(_plain(entry)):
                content[key] = plain
    return content


def _filled(values: Mapping[str, Any], table: Mapping[str, Any]) -> dict[str, Any]:
    """The values without those marked OUT, completed by the table's values."""
    content = {}
    for key, value in values.items():
        entry = table.get(key, ALWAYS)
        if isinstance(entry, Mapping) and isinstance(value, Mapping):
            content[key] = _filled(value, entry)
        elif entry is not OUT:
            content[key] = value
    missing = {key: entry for key, entry in table.items() if key not in values and entry not in (ALWAYS, OUT)}
    return {**content, **{key: entry for key, entry in missing.items() if not isinstance(entry, Mapping)}}


def _attention(values: Mapping[str, Any]) -> dict[str, Any]:
    """Identify a shipped mechanism by its name, a user's class by name, class and source, not by its module."""
    name, target = values["name"], values.get("_target_", "")
    shipped = {schema._target_: known for known, schema in ATTENTION_SCHEMAS.items() if hasattr(schema, "_target_")}
    known = name if name in ATTENTION else shipped.get(target)
    options = {key: value for key, value in values.items() if key not in ABOUT_CLASS}
    if known is None:  # such a class may treat 1 and 1.0 differently
        return {"name": name, "options": options, "class": target.rpartition(".")[2], "source": values.get("source")}
    content = {"name": name, "options": differing(options, ATTENTION.get(known, {}))}
    return content if known == name else {**content, "class": known}


def attention_is_mix(config: Mapping[str, Any]) -> bool:
    """Whether a resolved configuration has several attention modules."""
    return bool(config["attention"]["name"] == "mix")


def _mix(values: Mapping[str, Any]) -> dict[str, Any]:
    """Identify each attention of a mix as one alone, with its placement; the order of sites has no effect."""
    grafts = {site: [_entry(entry) for entry in entries] for site, entries in values["grafts"].items()}
    return {"name": "mix", "grafts": grafts}


def _entry(entry: Mapping[str, Any]) -> dict[str, Any]:
    placement, placebo = PROGRAM["placement"], PROGRAM["placebo"]
    about = {key: value for key, value in entry.items() if key in ABOUT_CLASS}
    joining = differing({key: entry[key] for key in ("mode", "gate")}, placement)
    if entry["name"] != "placebo":
        return {"attention": _attention({**about, **entry["options"]}), **joining}
    own = {key: value for key, value in entry.items() if key in ATTENTION["placebo"]}
    matched = differing({key: entry[key] for key in ("matches", "options", "by")}, placebo)
    matched["options"] = differing(entry["options"] or {}, ATTENTION.get(entry["matches"], {}))
    source = {"source": entry["matched_source"]} if "matched_source" in entry else {}
    return {"attention": _attention({**about, **own}), **joining, "placebo": {**matched, **source}}


def _plain(value: Any) -> Any:
    """Canonical form of a value: 1 for 1.0, the name of an enum member, lists for tuples."""
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def readable_name(config: RunConfig, data: str | None = None) -> str:
    """Readable folder name: attention, sites, mode and gate if not default, model, data set, seed, repeat.

    Args:
        config: the resolved configuration.
        data: name of the data set; None for `data_name`.

    Raises:
        ConfigError: if the name of the attention or of the data set cannot be part of a folder's name.
    """
    attention, placement = config.attention["name"], config.placement
    if attention is None or not re.fullmatch(r"[\w.-]+", str(attention)):
        allowed = re.sub(r"[^\w.-]+", "_", str(attention or "")).strip("._") or "mine"
        raise ConfigError(
            f"attention.name={attention}: it becomes part of a folder's name, so it takes letters, digits, _, - and . "
            f"only; write name: {allowed}"
        )
    if re.search(r"[/\\\0]", str(config.data.name)):
        raise ConfigError(
            f"data.name={config.data.name}: it becomes part of a folder's name; choose one without / and \\"
        )
    if attention == "placebo":
        attention = f"placebo_of_{config.placebo.matches}"
    where = []
    if attention == "mix":
        where = [_sites_of_mix(config.attention["grafts"])]
    elif attention != BASELINE:
        where = ["+".join(placement.sites)]
        where += [placement.mode.value] if placement.mode != Mode.append else []
        where += [f"gate_{placement.gate}"] if placement.gate != Gate.none else []
    again = [f"repeat{config.repeat}"] if config.repeat else []
    return "-".join([attention, *where, config.model.name, data or data_name(config), f"s{config.seed}", *again])


def data_name(config: RunConfig) -> str:
    """Name of a run's data set: that of the folder if the name itself says nothing, as with data.yaml or pascal_voc."""
    if isinstance(config.data, VocDataConfig):
        own = config.data.source is not None and config.data.name == PASCAL_VOC
        return Path(config.data.source or "").resolve().name if own else config.data.name
    name, yaml = config.data.name, config.data.yaml
    if yaml is None or name not in SAY_NOTHING:
        return name
    return Path(yaml).absolute().parent.name or name


def _sites_of_mix(grafts: Mapping[str, Any]) -> str:
    """The attentions of a mix by site, or their number if that is long."""
    named = "+".join(f"{site}_{'_'.join(entry['name'] for entry in entries)}" for site, entries in grafts.items())
    return named if len(named) <= LONGEST_MIX else f"{len(grafts)}_sites"
