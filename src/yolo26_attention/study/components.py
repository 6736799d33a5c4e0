"""Components of a study: what is switched on and off, and in which combinations.

    components:
      acmix: {attention.grafts: {p3: acmix}}
      cbam: {attention.grafts: {p5: cbam}}
      mosaic: {trainer.mosaic: 1.0}
    design: full                 # or each_alone, leave_one_out, or a list such as [[acmix], [acmix, mosaic]]

Each combination is a variant, labelled `acmix + mosaic`. Without any component it is `baseline`, which every design
has. Options of components are values as on the command line; unlike in `variants`, a list is one value. Grafts of
several components at one site are joined in the order of the components.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from typing import Any

from yolo26_attention.attention.options import BASELINE
from yolo26_attention.config.errors import ConfigError

GRAFTS = "attention.grafts"
DESIGNS = ("full", "each_alone", "leave_one_out")
MOST_VARIANTS = 64


def read_components(
    path: str, components: Any, design: Any, common: Mapping[str, Any]
) -> tuple[dict[str, dict[str, Any]], dict[str, tuple[str, ...]]]:
    """Options and components of every variant, by label; the baseline comes first.

    Args:
        path: of the study file, for messages.
        components: name of each component to its options, as in the file.
        design: the combinations, as in the file; None for all of them.
        common: options of every variant.

    Raises:
        ConfigError: naming the component, its value and a way out.
    """
    if not isinstance(components, dict) or not components:
        raise ConfigError(f"{path}: components holds options by name, such as cbam: {{attention.grafts: {{p5: cbam}}}}")
    for name, options in components.items():
        if not isinstance(name, str) or not re.fullmatch(r"[\w.-]+", name) or name == BASELINE:
            raise ConfigError(
                f"{path}: component {name}: use letters, digits, '_', '-' and '.', and another name than {BASELINE}"
            )
        if not isinstance(options, dict) or not options:
            raise ConfigError(f"{path}: component {name} holds no options; write {name}: {{trainer.mosaic: 1.0}}")
    combined = {_label(names): names for names in _combinations(path, tuple(components), design)}
    return {label: _joined(path, names, components, common) for label, names in combined.items()}, combined


def _label(names: Sequence[str]) -> str:
    return " + ".join(names) or BASELINE


def _combinations(path: str, names: tuple[str, ...], design: Any) -> list[tuple[str, ...]]:
    if design is None or design == "full":
        if 2 ** len(names) > MOST_VARIANTS:
            raise ConfigError(
                f"{path}: design=full of {len(names)} components has {2 ** len(names)} combinations, more than "
                f"{MOST_VARIANTS}; use each_alone, leave_one_out or a list"
            )
        return [part for size in range(len(names) + 1) for part in combinations(names, size)]
    if design == "each_alone":
        return [(), *((name,) for name in names)]
    if design == "leave_one_out":
        return [(), names, *(tuple(other for other in names if other != name) for name in names)]
    if not isinstance(design, list) or not all(isinstance(part, list) for part in design):
        raise ConfigError(
            f"{path}: design={design}: {', '.join(DESIGNS)}, or a list of combinations such as [[{names[0]}]]"
        )
    for part in design:
        if unknown := [name for name in part if name not in names]:
            raise ConfigError(f"{path}: design names {unknown[0]}, which is no component; they are {', '.join(names)}")
        if len(set(part)) < len(part):
            raise ConfigError(f"{path}: design has a component twice in {part}; name each once")
    chosen = [tuple(name for name in names if name in part) for part in design]
    if twice := [part for index, part in enumerate(chosen) if part in chosen[:index]]:
        raise ConfigError(f"{path}: design has the combination {_label(twice[0])} twice; name it once")
    if unused := [name for name in names if not any(name in part for part in chosen)]:
        raise ConfigError(f"{path}: component {unused[0]} is in no combination of design; add one, or remove it")
    return [(), *(part for part in chosen if part)]


def _joined(
    path: str, names: Iterable[str], components: Mapping[str, Mapping[str, Any]], common: Mapping[str, Any]
) -> dict[str, Any]:
    """Options of a combination."""
    options: dict[str, Any] = {}
    setter: dict[str, str] = {}
    for name in names:
        for key, value in components[name].items():
            if key == GRAFTS and isinstance(value, dict):
                options[key] = _grafts(options.get(key, {}), value)
            elif key in options and options[key] != value:
                way_out = f"write them as {GRAFTS}" if key.startswith(("attention", "placement")) else "make it one"
                raise ConfigError(
                    f"{path}: components {setter[key]} and {name} set {key} to {options[key]} and {value}, so they "
                    f"cannot be combined; {way_out}, or list the combinations in design"
                )
            else:
                options[key] = value
            setter[key] = name
    attention = "mix" if GRAFTS in options else common.get("attention", BASELINE)
    return {**common, "attention": attention, **options}


def _grafts(present: Mapping[str, Any], added: Mapping[str, Any]) -> dict[str, Any]:
    """Grafts by site, those of one site joined in a list."""
    joined = dict(present)
    for site, value in added.items():
        if site in joined:
            joined[site] = [*_listed(joined[site]), *_listed(value)]
        else:
            joined[site] = value
    return joined


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
