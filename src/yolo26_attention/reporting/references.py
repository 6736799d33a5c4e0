"""Which variant is compared with which, and what else differs between the two."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from yolo26_attention.reporting.caveats import unequal
from yolo26_attention.reporting.settings import GRAFT_KEYS, settings
from yolo26_attention.reporting.study import BASELINE, Study
from yolo26_attention.reporting.variant import Variant

# What of a training as it ran the machine may decide: no option of a study explains it, but the one of its name.
BY_MACHINE = ("batch", "precision", "compiled", "channels_last", "deterministic", "gpus")


def with_references(study: Study, variants: Sequence[Variant]) -> list[Variant]:
    """The variants with their baselines, and with what differs beside what the study tests.

    The baselines are those of study.json. Without one they are the stock models: each variant has the one that shares
    its surroundings, else the main one.
    """
    own = _declared(variants)
    guessed = _guessed(variants, own)
    own = guessed | own
    baselines = {label for label in own.values() if label not in own}
    if not own:  # nothing to compare yet: a stock model is the baseline all the same
        baselines = {variant.label for variant in variants if variant.is_stock}
    named = {variant.label: replace(variant, is_baseline=variant.label in baselines) for variant in variants}
    return [_beside(study, variant, named[own[label]]) if label in own else variant for label, variant in named.items()]


def _declared(variants: Sequence[Variant]) -> dict[str, str]:
    """Label to that of the baseline, as far as study.json says, without the baselines themselves."""
    labels = {variant.label for variant in variants}
    said = {variant.label: variant.runs[0].baseline for variant in variants}
    return {label: other for label, other in said.items() if other is not None and other in labels and other != label}


def _guessed(variants: Sequence[Variant], declared: Mapping[str, str]) -> dict[str, str]:
    """Label to that of the baseline for variants of which study.json does not say it."""
    baselines = list(dict.fromkeys(declared.values())) or [variant.label for variant in variants if variant.is_stock]
    if not baselines:
        return {}
    main = BASELINE if BASELINE in baselines else baselines[0]
    around = {variant.label: _around(variant) for variant in variants}
    found = {}
    for variant in variants:
        if variant.label not in declared and variant.label not in baselines:
            alike = [label for label in baselines if around[label] and around[label] == around[variant.label]]
            found[variant.label] = main if main in alike or not alike else alike[0]
    # A further baseline that nothing is compared with (a larger model, say) is a variant itself.
    compared = {*found.values(), *declared.values()}
    return found | {label: main for label in baselines if label != main and label not in compared}


def _beside(study: Study, variant: Variant, reference: Variant) -> Variant:
    """The variant with its reference, and with what differs beside what is under test."""
    a, b = _around(reference), _around(variant)
    differing = [key for key in dict.fromkeys([*a, *b]) if a and b and a.get(key) != b.get(key)]
    tested = _tested(study, variant, reference, differing)
    confounds = tuple(key for key in (*differing, *unequal(variant, reference)) if not tested(key))
    return replace(variant, reference=reference.label, confounds=confounds)


def _tested(
    study: Study, variant: Variant, reference: Variant, differing: Sequence[str]
) -> Callable[[str], bool]:  # fmt: skip
    """Whether a difference is what the study tests, or follows from that.

    Beside the graft these are the options of the components in which the two differ. Two variants with the same graft
    are compared for what else differs between them.
    """
    if variant.components is not None and reference.components is not None:
        switched = set(variant.components) ^ set(reference.components)
        options = {key for name in switched for key in study.components.get(name, {})}
    else:
        options = set(differing) if _graft(variant) == _graft(reference) else set()
    groups = {key.partition(".")[0] for key in options}

    def tested(key: str) -> bool:
        group, _, name = key.partition(".")
        if group == "training":
            named = {f"trainer.{name}", *({"trainer.amp"} if name == "precision" else ()), "trainer"}
            follows = bool(groups & {"trainer", "optimizer", "model", "data"})
            return bool(named & options) if name in BY_MACHINE else follows
        if key in ("data.identity", "model.weights by content"):
            return group in groups
        return any(key == option or key.startswith(f"{option}.") for option in options)

    return tested


def graft_alone(variant: Variant, reference: Variant) -> dict[str, Any] | None:
    """The graft of a variant as flat settings; None if it has none, or if it differs from its reference otherwise."""
    return None if variant.is_stock or _around(variant) != _around(reference) else _graft(variant)


def _graft(variant: Variant) -> dict[str, Any]:
    return {key: value for key, value in _settings(variant).items() if key.startswith(GRAFT_KEYS)}


def _around(variant: Variant) -> dict[str, Any]:
    return {key: value for key, value in _settings(variant).items() if not key.startswith(GRAFT_KEYS)}


def _settings(variant: Variant) -> dict[str, Any]:
    return settings(variant.config) if variant.config else {}
