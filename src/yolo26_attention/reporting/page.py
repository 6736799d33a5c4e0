"""The report as one HTML file that asks nobody for anything."""

import base64
import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, Template, select_autoescape

from yolo26_attention.counts import number_of
from yolo26_attention.files.timings import Target
from yolo26_attention.reporting.answer import Answer, latency_sure
from yolo26_attention.reporting.cells import Cell
from yolo26_attention.reporting.choice import chosen_columns, rows_of
from yolo26_attention.reporting.comparison import Results
from yolo26_attention.reporting.effects_told import effect_header, effect_rows, explained
from yolo26_attention.reporting.figures import drawn_variants
from yolo26_attention.reporting.left_out import left_out
from yolo26_attention.reporting.settings import flatten
from yolo26_attention.reporting.signs import interval, signed
from yolo26_attention.reporting.study import StudyRun
from yolo26_attention.reporting.style import Picture, follow_page
from yolo26_attention.reporting.variant import Variant
from yolo26_attention.study.rerun_command import command_of
from yolo26_attention.study.targets import described


def template(name: str) -> Template:
    """A template of this package; what it shows is escaped, and a name that it does not get is an error."""
    environment = Environment(
        loader=PackageLoader("yolo26_attention.reporting", "templates"),
        autoescape=select_autoescape(default=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name)


def page(
    results: Results, answer: Answer, pictures: Sequence[Picture], command: str, written: str, choice: str = "default"
) -> str:
    """Render the page.

    Args:
        results: of the study.
        answer: for the first screen.
        pictures: in the order in which they are shown.
        command: that makes this page again.
        written: when it was made, as it is to be shown.
        choice: the columns of the comparison, as `chosen_columns` takes them.
    """
    chosen = chosen_columns(results, choice)
    common, own = _settings(results)
    return template("page.html").render(
        study=results.study,
        results=results,
        answer=answer,
        tiles=_tiles(results, answer),
        scale=_scale(results, answer),
        columns=chosen,
        rows=rows_of(results, chosen),
        effects=_effects(results),
        classes=_classes(results),
        pictures=[(picture, _uri(picture)) for picture in pictures],
        common=common,
        variants=[(v, own[v.label], [_again(run) for run in v.runs]) for v in results.variants],
        problems=left_out(results.study.runs),
        runs=[
            (run, Cell(f"{run.score:.4f}") if run.counts and run.score is not None else Cell(""))
            for run in results.study.runs
        ],
        environments=_environments(results.study.runs) + _targets(results.study.targets),
        command=command,
        written=written,
    )


def _effects(results: Results) -> dict[str, Any] | None:
    """The table of what each component does."""
    if results.effects is None or not results.effects.estimates:
        return None
    return {
        "header": effect_header(results.effects),
        "rows": effect_rows(results.effects),
        "explained": explained(results.effects),
    }


def _uri(picture: Picture) -> str:
    return f"data:image/svg+xml;base64,{base64.b64encode(follow_page(picture.svg)).decode()}"


def _tiles(results: Results, answer: Answer) -> list[tuple[str, str, str]]:
    """The numbers of the first screen: what, number, how sure."""
    tiles = []
    if (about := answer.about) is not None:
        name, whose = results.study.score_name, ""
        if results.effects is None:
            found = about.comparison.difference
            bounds = "no interval over seeds" if found.bounds is None else interval(found.bounds)
            tiles.append((f"difference of {name}", signed(about.mean), bounds))
        else:
            whose = f" of {about.variant.label}"
            if answer.drawn:
                largest = max(answer.drawn, key=lambda each: abs(each.mean))
                tiles.append((f"effect of {largest.name} on {name}", signed(largest.mean), interval(largest.bounds)))
        if (ratio := about.variant.ratio).mean is not None:
            tiles.append((f"latency{whose}, of the stock model's", f"{ratio.mean:.2f} ×", latency_sure(about.variant)))
        own, base = about.comparison.seeds
        tiles.append(("seeds", str(own), f"{base} of the baseline"))
    finished = sum(run.counts for run in results.study.runs)
    others = Counter(run.status for run in results.study.runs if not run.counts)
    told = ", ".join(f"{count} {status}" for status, count in others.items()) or "none left out"
    return [*tiles, ("runs compared", f"{finished} of {len(results.study.runs)}", told)]


def _scale(results: Results, answer: Answer) -> dict[str, Any] | None:
    """Where what the answer names, with intervals, zero and the margin lie on a line from 0 to 100."""
    if not answer.drawn:
        return None
    values = [value for each in answer.drawn for value in (each.mean, *each.bounds)]
    reach = 1.1 * max(map(abs, (*values, results.margin)))

    def place(value: float) -> float:
        return round(50 + 50 * value / reach, 2)

    return {
        "lines": [
            {"name": each.name, "mean": place(each.mean), "low": place(each.bounds[0]), "high": place(each.bounds[1])}
            for each in answer.drawn
        ],
        "band_low": place(-results.margin),
        "band_high": place(results.margin),
        "reach": reach,
    }


def _classes(results: Results) -> dict[str, Any] | None:
    """AP of every class by variant: means over the runs that count."""
    variants = [v for v in drawn_variants(results)[0] if any(record.ap_by_class for record in v.records)]
    if not variants:
        return None
    names = dict.fromkeys(name for v in variants for record in v.records for name in record.ap_by_class)
    return {
        "variants": [variant.label for variant in variants],
        "rows": [(name, [_class_cell(variant, name) for variant in variants]) for name in names],
    }


def _class_cell(variant: Variant, name: str) -> Cell:
    values = [record.ap_by_class[name] for record in variant.records if name in record.ap_by_class]
    known = [value for value in values if value is not None and math.isfinite(value)]
    return Cell("") if not known else Cell(f"{sum(known) / len(known):.3f}", sum(known) / len(known))


def _settings(results: Results) -> tuple[list[tuple[str, str]], dict[str, list[tuple[str, str]]]]:
    """Settings that all variants share, and those of each variant that they do not."""
    flat = {}
    for variant in results.variants:
        values = flatten(variant.config).items()
        flat[variant.label] = {key: _shown(value) for key, value in values if key != "seed"}
    filled = [values for values in flat.values() if values]
    shared = set.intersection(*(set(values.items()) for values in filled)) if filled else set()
    common = [(key, value) for key, value in (filled[0].items() if filled else ()) if (key, value) in shared]
    return common, {label: [pair for pair in values.items() if pair not in shared] for label, values in flat.items()}


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _again(run: StudyRun) -> str:
    return command_of(run.folder, run.overrides, "force=true")


def _targets(targets: Sequence[Target]) -> list[tuple[str, list[tuple[str, str]]]]:
    """Versions and hardware of each target of a study that was timed together."""
    return [
        (f"timed on {described(target)}, {target.date} UTC", _environment(target.environment)) for target in targets
    ]


def _environments(runs: Sequence[StudyRun]) -> list[tuple[str, list[tuple[str, str]]]]:
    """Versions and hardware, once for all runs that have them in common."""
    kinds = Counter(
        json.dumps(run.record.environment, sort_keys=True) for run in runs if run.record is not None
    ).most_common()
    return [(number_of(count, "run"), _environment(json.loads(kind))) for kind, count in kinds]


def _environment(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(key.removeprefix("packages."), _shown(value)) for key, value in flatten(values).items()]
