"""A study file and the points it stands for.

    question: How large should the window be?
    seeds: [0, 1, 2]             # or {baseline: 6, others: 3}
    margin: 0.01                 # optional, as are looks and stop: `study.declaration`
    looks: [3, 5, 10]
    stop: true
    variants:
      baseline: {attention: baseline}
      acmix: {attention: acmix, attention.kernel_att: [3, 5, 7, 9]}

A variant is what one would write on the command line; a list is swept, several lists are a grid, and a value that is a
list itself is a list within the list. `common` holds what all variants share. Nothing here imports torch.
"""

import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from yolo26_attention.config.errors import ConfigError
from yolo26_attention.config.plain_yaml import as_override, parse_yaml
from yolo26_attention.study.declaration import KEYS as DECLARED
from yolo26_attention.study.declaration import Declaration, read_declaration

SWEEPS = Path(__file__).parents[3] / "sweeps"
BASELINE = "baseline"
KEYS = {"question", "variants", "common", *DECLARED}
# What may differ between a variant and the baseline that it is compared with.
TREATMENT = re.compile(r"(attention|placement|placebo|optimizer\.attention)(\.|$)")


@dataclass(frozen=True)
class Point:
    """One configuration to train.

    Args:
        variant: label of what is compared, the same for all seeds.
        seed: of the run.
        settings: overrides for Hydra, but for the seed.
        swept: the values that tell this point from others of its variant.
        baseline: label of the variant that differs from this one in nothing but the attention.
    """

    variant: str
    seed: int
    settings: tuple[str, ...]
    swept: Mapping[str, Any]
    baseline: str = BASELINE

    @property
    def overrides(self) -> list[str]:
        """What to put on the command line of `python -m src.train`."""
        return [*self.settings, f"seed={self.seed}"]


@dataclass(frozen=True)
class Study:
    """Content of a study file: `variants` maps a label to a variant's options, as they are in the file.

    `declared` says how it is to be answered.
    """

    name: str
    question: str
    variants: Mapping[str, Mapping[str, Any]]
    declared: Declaration

    def with_seeds(self, seeds: Sequence[int] | None) -> "Study":
        """The study with other seeds than those of its file; None leaves it as it is.

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
        return replace(self, declared=replace(self.declared, seeds=tuple(seeds), baseline_seeds=tuple(seeds)))

    def cells(self) -> list[tuple[str, dict[str, Any], dict[str, Any]]]:
        """Label, options and swept values of every point, as they are for each seed."""
        return [cell for name, options in self.variants.items() for cell in _cells(name, options)]

    def points(self, overrides: Sequence[str] = ()) -> list[Point]:
        """Every point, all variants of the first seed first, so that a study that is cut short is balanced.

        Seeds that only baselines have come where the looks need them.

        Args:
            overrides: added to every point; those of the attention are left out where there is none.

        Raises:
            ConfigError: if an override is of a key that the study varies.
        """
        varied = {key for options in self.variants.values() for key in options}
        for override in overrides:
            key = override.split("=")[0].lstrip("+~")
            if key in varied:
                raise ConfigError(f"{override}: {self.name} varies {key} itself; change it in a study file of your own")
        cells = self.cells()
        points = []
        for number, seed in enumerate(self.declared.seeds, 1):
            before = self.declared.seeds_at(number - 1, True) if number > 1 else ()
            due = [own for own in self.declared.seeds_at(number, True) if own not in before]
            for label, options, swept in cells:
                baseline = options.get("attention") == BASELINE
                settings = (*_overrides(options), *_fitting(overrides, options))
                points += [
                    Point(label, own, settings, swept, _baseline_of(options, cells))
                    for own in (due if baseline else [seed])
                ]
        return points


def load_study(name: str) -> Study:
    """Read a study: a name from `sweeps/`, or the path of a YAML file.

    Raises:
        ConfigError: if there is none, or its content does not say what it must.
    """
    path = Path(name) if name.endswith((".yaml", ".yml")) else SWEEPS / f"{name}.yaml"
    if not path.is_file():
        there = study_names()
        close = get_close_matches(name, there, n=1)
        hint = f" Did you mean {close[0]}?" if close else ""
        raise ConfigError(
            f"there is no study {name}.{hint} Those there are: {', '.join(there)}; or give the path of a .yaml"
        )
    try:
        content = parse_yaml(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"{path} cannot be read ({error.strerror}); give another file") from error
    except ValueError as error:
        raise ConfigError(f"{path} {error}") from error
    return _study(path, content)


def slug(label: str) -> str:
    """A label without the characters that a shell, Hydra or a file system could take amiss."""
    return re.sub(r"[^\w.]+", "-", label)


def study_names() -> list[str]:
    """Names of the studies in `sweeps/`."""
    return sorted(path.stem for path in SWEEPS.glob("*.yaml"))


def _study(path: Path, content: Any) -> Study:
    needed = {"question", "variants"}
    if not isinstance(content, dict) or not needed <= set(content) or set(content) - KEYS:
        raise ConfigError(
            f"{path} needs the keys question, seeds and variants, and may have common, margin, looks and stop, but no "
            "others"
        )
    if not {"seeds", "looks"} & set(content):
        raise ConfigError(f"{path} has no seeds; give their numbers, such as seeds: [0, 1, 2], or looks: [3, 5, 10]")
    variants, common = content["variants"], content.get("common") or {}
    if not isinstance(common, dict) or not isinstance(variants, dict):
        raise ConfigError(f"{path}: variants and common hold options by name")
    if wrong := [label for label, options in variants.items() if not isinstance(options, dict)]:
        raise ConfigError(f"{path}: variant {wrong[0]} holds no options; write {wrong[0]}: {{attention: acmix}}")
    for options in (common, *variants.values()):
        if refused := {"seed", "study", "output_dir"} & set(options):
            raise ConfigError(f"{path}: {refused.pop()} is no option of a variant; seeds has a place of its own")
    if empty := [f"{label}: {key}" for label, options in variants.items() for key, v in options.items() if v == []]:
        raise ConfigError(f"{path}: variant {empty[0]} sweeps over nothing; give at least one value")
    variants = {str(label): {**common, **options} for label, options in variants.items()}
    baseline = variants.get(BASELINE, {})
    if baseline.get("attention") != BASELINE or any(isinstance(value, list) for value in baseline.values()):
        raise ConfigError(f"{path}: every study needs the variant `baseline: {{attention: baseline}}`, and only one")
    labels = [label for name, options in variants.items() for label, _, _ in _cells(name, options)]
    slugs = [slug(label) for label in labels]
    if twice := [label for label, short in zip(labels, slugs, strict=True) if slugs.count(short) > 1]:
        raise ConfigError(f"{path}: two variants are called {twice[0]}; give them other names")
    return Study(path.stem, str(content["question"]), variants, read_declaration(str(path), content))


def _cells(name: str, options: Mapping[str, Any]) -> list[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Label, options and swept values of every cell of a variant's grid."""
    swept = {key: value for key, value in options.items() if isinstance(value, list)}
    short = {key: key.rpartition(".")[2] for key in swept}
    if len(set(short.values())) < len(short):
        short = {key: key for key in swept}
    cells = []
    for values in itertools.product(*swept.values()):
        chosen = dict(zip(swept, values, strict=True))
        label = " ".join([name, *(f"{short[key]}={as_override(value)}" for key, value in chosen.items())])
        cells.append((label, {**options, **chosen}, chosen))
    return cells


def _baseline_of(options: Mapping[str, Any], cells: Iterable[tuple[str, dict[str, Any], dict[str, Any]]]) -> str:
    """Label of the stock model that agrees with these options in all but the treatment; `baseline` if there is none."""
    rest = {key: value for key, value in options.items() if not TREATMENT.match(key)}
    for label, others, _ in cells:
        if others.get("attention") == BASELINE and rest == {k: v for k, v in others.items() if not TREATMENT.match(k)}:
            return label
    return BASELINE


def _overrides(options: Mapping[str, Any]) -> list[str]:
    return [f"{key}={as_override(value)}" for key, value in options.items()]


def _fitting(overrides: Sequence[str], options: Mapping[str, Any]) -> list[str]:
    """The overrides that a point can have: the baseline has no options of an attention."""
    if options.get("attention") != BASELINE:
        return list(overrides)
    return [override for override in overrides if not override.startswith("attention.")]
