"""A study file and the points it stands for.

    question: How large should the window be?
    seeds: [0, 1, 2]             # or {baseline: 6, others: 3}
    margin: 0.01                 # optional, as are metric, looks, stop and repeats: `study.declaration`
    looks: [3, 5, 10]
    stop: true
    variants:
      baseline: {attention: baseline}
      acmix: {attention: acmix, attention.kernel_att: [3, 5, 7, 9]}

A variant is what one would write on the command line; a list is swept, several lists are a grid, and a value that is a
list itself is a list within the list: `placement.sites: [[p3, p5]]`. `common` holds what all variants share. Variants
are compared with the variant called `baseline`, or with the first one if none is. Instead of variants, a study may have
`components`, which are switched on and off (`study.components`). Nothing here imports torch.
"""

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from yolo26_attention.attention.options import BASELINE
from yolo26_attention.config.errors import ConfigError
from yolo26_attention.config.plain_yaml import as_override, key_of, parse_yaml
from yolo26_attention.config.recipe import RECIPE, needs_recipe
from yolo26_attention.study.components import read_components
from yolo26_attention.study.declaration import KEYS as DECLARED
from yolo26_attention.study.declaration import Declaration, read_declaration

SWEEPS = Path(__file__).parents[3] / "sweeps"
KEYS = {"question", "variants", "components", "design", "common", *DECLARED}
# Label, options and swept values.
Cell = tuple[str, dict[str, Any], dict[str, Any]]
REPEATED = "repeated"
# What may differ between a variant and the baseline that it is compared with.
TREATMENT = re.compile(r"(attention|placement|placebo|optimizer\.attention)(\.|$)")


@dataclass(frozen=True)
class Point:
    """One configuration to train.

    Args:
        variant: label of the variant, the same for all seeds.
        seed: seed of the run.
        settings: overrides for Hydra, without the seed.
        swept: the values that distinguish this point from others of its variant.
        baseline: label of the variant that differs from this one in nothing but the attention, or in a study of
            components, of the variant without any.
        components: of the variant; None in a study of variants.
    """

    variant: str
    seed: int
    settings: tuple[str, ...]
    swept: Mapping[str, Any]
    baseline: str = BASELINE
    components: tuple[str, ...] | None = None

    @property
    def overrides(self) -> list[str]:
        """The command line of `python -m src.train`."""
        return [*self.settings, f"seed={self.seed}"]


@dataclass(frozen=True)
class Study:
    """Content of a study file: `variants` maps a label to a variant's options, as they are in the file.

    `declared` says how it is to be answered. `components` maps a label to the variant's components, `switched` a
    component to its options as in the file; both are empty in a study of variants.
    """

    name: str
    question: str
    variants: Mapping[str, Mapping[str, Any]]
    declared: Declaration
    components: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    switched: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def with_seeds(self, seeds: Sequence[int] | None) -> "Study":
        """Return the study with other seeds, and no more repeats than those; None leaves it unchanged.

        Raises:
            ConfigError: if it declares looks, which are numbers of its own seeds.
        """
        if seeds is None:
            return self
        if self.declared.looks:
            raise ConfigError(
                f"seeds={','.join(map(str, seeds))}: {self.name} declares looks at {list(self.declared.looks)} seeds; "
                "declare other looks in its file"
            )
        own, repeats = tuple(seeds), min(self.declared.repeats, len(seeds))
        return replace(self, declared=replace(self.declared, seeds=own, baseline_seeds=own, repeats=repeats))

    def cells(self) -> list[Cell]:
        """Label, options and swept values of every point, as they are for each seed."""
        if self.components:
            return [(name, dict(options), {}) for name, options in self.variants.items()]
        return [cell for name, options in self.variants.items() for cell in _cells(name, options)]

    def points(self, overrides: Sequence[str] = ()) -> list[Point]:
        """Return every point, all variants of the first seed first, so that an interrupted study is balanced.

        Seeds that only baselines have come where the looks need them.

        Args:
            overrides: added to every point; those of the attention are left out where there is none.

        Raises:
            ConfigError: if an override is of a key that the study varies.
        """
        varied = self._varied()
        for override in overrides:
            key = key_of(override)
            if key in varied:
                raise ConfigError(f"{override}: {self.name} varies {key} itself; change it in a study file of your own")
        overridden = set(map(key_of, overrides))
        cells = self.cells()
        compared = self._compared(cells)
        points = []
        for number, seed in enumerate(self.declared.seeds, 1):
            before = self.declared.seeds_at(number - 1, True) if number > 1 else ()
            due = [own for own in self.declared.seeds_at(number, True) if own not in before]
            for label, options, swept in cells:
                kept = {key: value for key, value in options.items() if key not in overridden}
                settings = (*as_overrides(kept), *_fitting(overrides, options))
                components = self.components[label] if self.components else None
                points += [
                    Point(label, own, settings, swept, compared[label], components)
                    for own in (due if label in compared.values() else [seed])
                ]
        return points + self._repeats(points)

    def _repeats(self, points: Sequence[Point]) -> list[Point]:
        """The main baseline's first seeds once more, as a variant that is compared with nothing."""
        label = BASELINE if BASELINE in {point.variant for point in points} else points[0].variant
        label_again = f"{label} {REPEATED}"
        first = [point for point in points if point.variant == label][: self.declared.repeats]
        return [
            replace(point, variant=label_again, baseline=label_again, settings=(*point.settings, "repeat=1"))
            for point in first
        ]

    def _varied(self) -> set[str]:
        """Keys in which the variants differ."""
        cells = [options for _, options, _ in self.cells()]
        keys = {key for options in cells for key in options}
        return {key for key in keys if any(key not in own or own[key] != cells[0].get(key) for own in cells)}

    def _compared(self, cells: Sequence[Cell]) -> dict[str, str]:
        """Each label with that of its baseline: the stock model that agrees in all but the treatment, or the main one.

        A stock model that no variant agrees with is compared with the main baseline itself.
        """
        labels = [label for label, _, _ in cells]
        main = BASELINE if BASELINE in labels else labels[0]
        if self.components:
            return dict.fromkeys(labels, main)
        stock = [(label, _rest(options)) for label, options, _ in cells if options.get("attention") == BASELINE]
        treated = {label: _rest(options) for label, options, _ in cells if options.get("attention") != BASELINE}
        agreeing = {
            label: next((name for name, other in stock if other == rest), main) for label, rest in treated.items()
        }
        return {label: agreeing.get(label, label if label in agreeing.values() else main) for label in labels}


def load_study(name: str) -> Study:
    """Read a study: a name from `sweeps/`, or the path of a YAML file.

    Raises:
        ConfigError: if there is none, or its content does not say what it must.
    """
    path, content = read_named(name, SWEEPS, "study")
    return _study(path, content)


def read_named(name: str, folder: Path, kind: str) -> tuple[Path, Any]:
    """Read a YAML file by its name in a folder, or by its path; returns the path and the content.

    Raises:
        ConfigError: if there is none, it cannot be read, or it is not YAML.
    """
    path = Path(name) if name.endswith((".yaml", ".yml")) else folder / f"{name}.yaml"
    if not path.is_file():
        there = sorted(found.stem for found in folder.glob("*.yaml"))
        close = get_close_matches(name, there, n=1)
        hint = f" Did you mean {close[0]}?" if close else ""
        raise ConfigError(
            f"there is no {kind} {name}.{hint} Those there are: {', '.join(there)}; or give the path of a .yaml"
        )
    try:
        return path, parse_yaml(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"{path} cannot be read ({error.strerror}); give another file") from error
    except ValueError as error:
        raise ConfigError(f"{path} {error}") from error


def study_name(study: str) -> str:
    """The name of a study that is given by its name, or by the path of its file.

    Raises:
        ConfigError: if there is no such file.
    """
    if not study.endswith((".yaml", ".yml")):
        return study
    if not Path(study).is_file():
        raise ConfigError(
            f"study={study}: there is no such file; give its path, or the study's name: {Path(study).stem}"
        )
    return Path(study).stem


def slug(label: str) -> str:
    """Return a label without characters that are special to a shell, Hydra or a file system."""
    return re.sub(r"[^\w.]+", "-", label)


def study_names() -> list[str]:
    """Return the names of the studies in `sweeps/`."""
    return sorted(path.stem for path in SWEEPS.glob("*.yaml"))


def _study(path: Path, content: Any) -> Study:
    unknown = [str(key) for key in content if key not in KEYS] if isinstance(content, dict) else []
    if unknown:
        close = get_close_matches(unknown[0], KEYS, n=1)
        hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(sorted(KEYS))}"
        raise ConfigError(f"{path} has the key {unknown[0]}, which no study has; {hint}")
    if not isinstance(content, dict) or "question" not in content:
        raise ConfigError(
            f"{path} needs the keys question, seeds and variants (or components), and may have common, design, metric, "
            "margin, looks, stop and repeats, but no others"
        )
    if ("variants" in content) == ("components" in content):
        raise ConfigError(f"{path} needs either variants or components")
    if "design" in content and "components" not in content:
        raise ConfigError(f"{path}: design={content['design']} combines components, but there are none; leave it out")
    if not {"seeds", "looks"} & set(content):
        raise ConfigError(f"{path} has no seeds; give their numbers, such as seeds: [0, 1, 2], or looks: [3, 5, 10]")
    common = content.get("common") or {}
    if not isinstance(common, dict):
        raise ConfigError(f"{path}: common holds options by name")
    given: Any = content.get("variants", content.get("components"))
    for options in (common, *(given.values() if isinstance(given, dict) else ())):
        if isinstance(options, dict) and (refused := {"seed", "study", "output_dir"} & set(options)):
            raise ConfigError(
                f"{path}: {refused.pop()}: seed, study and output_dir cannot be set per variant; seeds go into "
                "`seeds:`, the others on the command line"
            )
    declared = read_declaration(str(path), content)
    question = str(content["question"])
    if "components" in content:
        variants, components = read_components(str(path), given, content.get("design"), with_recipe(common))
        _refuse_twice(path, list(variants))
        return Study(path.stem, question, variants, declared, components, given)
    return Study(path.stem, question, _variants(path, given, common), declared)


def _variants(path: Path, variants: Any, common: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Read the options of every variant, by label."""
    if not isinstance(variants, dict) or not variants:
        raise ConfigError(f"{path}: variants holds options by name, such as baseline: {{attention: baseline}}")
    if wrong := [label for label, options in variants.items() if not isinstance(options, dict)]:
        raise ConfigError(f"{path}: variant {wrong[0]} holds no options; write {wrong[0]}: {{attention: acmix}}")
    written = {"common": common, **{f"variant {label}": options for label, options in variants.items()}}
    if empty := [f"{where}: {key}" for where, options in written.items() for key, v in options.items() if v == []]:
        raise ConfigError(f"{path}: {empty[0]} sweeps over nothing; give at least one value, or [[]] for an empty list")
    joined = {str(label): with_recipe({**common, **options}) for label, options in variants.items()}
    if several := [f"{key}: {value}" for key, value in joined.get(BASELINE, {}).items() if _is_swept(value)]:
        key, _, value = several[0].partition(": ")
        raise ConfigError(
            f"{path}: the variant baseline is one configuration, and {several[0]} is swept; give {key} one value, or "
            f"{key}: [{value}] for a list as one value"
        )
    cells = [cell for name, options in joined.items() for cell in _cells(name, options)]
    if len(cells) < 2:
        raise ConfigError(f"{path}: {cells[0][0]} alone compares nothing; add a variant")
    _refuse_twice(path, [label for label, _, _ in cells])
    return joined


def _refuse_twice(path: Path, labels: Sequence[str]) -> None:
    """Refuse labels that are the same in the names of files and points."""
    slugs = [slug(label) for label in labels]
    if twice := [label for label, short in zip(labels, slugs, strict=True) if slugs.count(short) > 1]:
        raise ConfigError(f"{path}: two variants are called {twice[0]}; give them other names")


def with_recipe(options: dict[str, Any]) -> dict[str, Any]:
    """The options of a variant, with the recipe of its data if they name none."""
    return {**options, "trainer": RECIPE} if needs_recipe(options) else options


def _cells(name: str, options: Mapping[str, Any]) -> list[Cell]:
    """Label, options and swept values of every cell of a variant's grid."""
    swept = {key: value for key, value in options.items() if _is_swept(value)}
    one = {key: value[0] for key, value in options.items() if isinstance(value, list) and key not in swept}
    short = {key: key.rpartition(".")[2] for key in swept}
    if len(set(short.values())) < len(short):
        short = {key: key for key in swept}
    cells = []
    for values in itertools.product(*swept.values()):
        chosen = dict(zip(swept, values, strict=True))
        label = " ".join([name, *(f"{short[key]}={as_override(value)}" for key, value in chosen.items())])
        cells.append((label, {**options, **one, **chosen}, chosen))
    return cells


def _is_swept(value: Any) -> bool:
    """Whether each item of a value makes a variant of its own; `[[p3, p5]]` is one list."""
    return isinstance(value, list) and not (len(value) == 1 and isinstance(value[0], list))


def _rest(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options outside the treatment."""
    return {key: value for key, value in options.items() if not TREATMENT.match(key)}


def as_overrides(options: Mapping[str, Any]) -> list[str]:
    """Options as they stand on a command line."""
    return [f"{key}={as_override(value)}" for key, value in options.items()]


def _fitting(overrides: Sequence[str], options: Mapping[str, Any]) -> list[str]:
    """The overrides that apply to a point; the baseline has no options of an attention."""
    if options.get("attention") != BASELINE:
        return list(overrides)
    return [override for override in overrides if not override.startswith("attention.")]
