"""The study that confirms the best candidates of a search, with seeds that the search has not used."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from yolo26_attention.attention.options import BASELINE
from yolo26_attention.config.plain_yaml import parse_yaml
from yolo26_attention.files.atomic import write_atomically
from yolo26_attention.files.metrics import MAP50_95
from yolo26_attention.search.candidates import Candidate
from yolo26_attention.search.driver import Search
from yolo26_attention.study.declaration import Declaration
from yolo26_attention.study.declared_looks import Standing
from yolo26_attention.study.next_runs import standings
from yolo26_attention.study.progress import compared_scores, run_states
from yolo26_attention.study.runs import read_study

PLACEBO_OF = "placebo of "
log = logging.getLogger(__name__)


def confirmation(search: Search) -> dict[str, Any] | None:
    """The content of its study file; None if no candidate but the reference is on the front.

    Each candidate comes with a placebo: as many parameters at the same sites, without attention. One that cannot be
    built, because an attention has no parameters or too few, is left out.
    """
    chosen = _chosen(search)
    if not chosen:
        return None
    variants = {BASELINE: _variant(search.space.options(search.space.reference))}
    for one in chosen:
        label = search.space.label(one)
        variants[label] = _variant(search.space.options(one))
        placebo = search.space.placebo(one)
        if placebo is None:
            continue
        if (refusal := search.refusal(f"{PLACEBO_OF}{label}", placebo)) is None:
            variants[f"{PLACEBO_OF}{label}"] = _variant(placebo)
        else:
            log.info("no placebo of %s: %s", label, refusal)
    looks = list(search.search.confirm.looks)
    first = search.search.seed + 1
    return {
        "question": search.search.question,
        "seeds": list(range(first, first + looks[-1])),
        "looks": looks,
        "stop": True,
        "variants": variants,
    }


def write_confirmation(search: Search) -> Path | None:
    """Write the study file into the search's folder, once: what chose the candidates is known by then."""
    path = search.folder / "confirm.yaml"
    if not path.exists():
        content = confirmation(search)
        if content is None:
            return None
        write_atomically(path, yaml.safe_dump(content, sort_keys=False, allow_unicode=True))
    if search.state.confirm is None:
        search.state.confirm = search.search.confirm
        search.state.write(search.folder)
    return path


def unconfirmed(search: Search) -> list[str]:
    """The candidates that came to the front after the confirmation had begun, by label."""
    path = search.folder / "confirm.yaml"
    if not path.exists():
        return []
    confirmed = parse_yaml(path.read_bytes())["variants"]
    return [label for one in _chosen(search) if (label := search.space.label(one)) not in confirmed]


def _chosen(search: Search) -> list[Candidate]:
    """The best candidates of the front but the reference, as many as are confirmed."""
    return [one for one in search.front() if one.changed][: search.search.confirm.top]


@dataclass(frozen=True)
class Confirmed:
    """What the confirming study has found.

    Attributes:
        scores: mAP50-95 by variant and seed, on the test images if there are any.
        validation: mAP50-95 on the validation images, as the search saw it.
        standing: the looks that are complete, and what they decided.
        declared: of the confirming study.
    """

    scores: Mapping[str, Mapping[int, float]]
    validation: Mapping[str, Mapping[int, float]]
    standing: Standing
    declared: Declaration


def read_confirmation(search: Search, study: str) -> Confirmed | None:
    """Read the confirming study; None before it has begun."""
    content = read_study(search.output_dir, study)
    if content is None or content.declared is None:
        return None
    states = run_states(search.output_dir, content.runs)
    scores: dict[str, dict[int, float]] = {}
    validation: dict[str, dict[int, float]] = {}
    for state, score in zip(states, compared_scores(states, MAP50_95), strict=True):
        if score is not None and state.score is not None:
            scores.setdefault(state.entry.variant, {})[state.entry.seed] = score
            validation.setdefault(state.entry.variant, {})[state.entry.seed] = state.score
    return Confirmed(scores, validation, standings(states, content.declared)[BASELINE], content.declared)


def _variant(options: dict[str, Any]) -> dict[str, Any]:
    """The options of a variant in a study file, where a list is swept and a list of one list is one value."""
    return {key: [value] if isinstance(value, list) else value for key, value in options.items()}
