"""The comparison, written for a terminal, Markdown and CSV."""

import csv
import io
from collections.abc import Sequence
from typing import Any

from yolo26_attention.counts import number_of
from yolo26_attention.files.latency import Ratio
from yolo26_attention.reporting.answer import Answer
from yolo26_attention.reporting.cells import Cell, difference_of
from yolo26_attention.reporting.choice import BOLD, chosen_columns, rows_of
from yolo26_attention.reporting.column_type import Column
from yolo26_attention.reporting.columns import TERMINAL, component_columns
from yolo26_attention.reporting.comparison import Results
from yolo26_attention.reporting.cost_columns import timed_on
from yolo26_attention.reporting.effects import ComponentEffects
from yolo26_attention.reporting.effects_told import effect_header, effect_rows, explained
from yolo26_attention.reporting.escapes import in_csv, in_markdown
from yolo26_attention.reporting.left_out import left_out
from yolo26_attention.reporting.style import Picture
from yolo26_attention.reporting.variant import Variant
from yolo26_attention.statistics import Estimate
from yolo26_attention.study.targets import described
from yolo26_attention.text_tables import aligned, markdown_table


def terminal(results: Results, answer: Answer, written: Sequence[str], choice: str = "default") -> str:
    """The answer, the table, what is left out and what was written, as plain text."""
    chosen = chosen_columns(results, choice, TERMINAL)
    said = [answer.effect, *([answer.beside] if answer.beside else []), answer.cost]
    lines = [*said, *(f"- {remark}" for remark in answer.remarks), "", *_aligned(results, chosen)]
    lines += ["", *_effects(results.effects)] if results.effects is not None and results.effects.estimates else []
    if len(results.groups) > 0:
        lines += ["", "cannot be told apart: " + "; ".join(", ".join(group) for group in results.groups)]
    if number := sum(not run.counts for run in results.study.runs):
        lines += ["", f"not in the comparison: {number} of {number_of(len(results.study.runs), 'run')}"]
        lines += [f"  {line.status:<12}  {line.what}: {line.problem}" for line in left_out(results.study.runs)]
    lines += ["", *(f"note: {note}" for note in results.notes)] if results.notes else []
    return "\n".join([*lines, "", *written])


def _effects(effects: ComponentEffects) -> list[str]:
    return aligned(
        [list(effect_header(effects)), *([cell.text for cell in row] for row in effect_rows(effects))], right=[2]
    )


def _aligned(results: Results, chosen: Sequence[Column]) -> list[str]:
    rows = [[column.header for column in chosen]]
    rows += [[cell.text for cell in row] for row in rows_of(results, chosen)]
    return aligned(rows, right=[index for index, column in enumerate(chosen) if column.align == "right"])


def markdown(results: Results, answer: Answer, pictures: Sequence[Picture], choice: str = "default") -> str:
    """The whole report as Markdown; pictures are linked in the folder `figures` beside it."""
    chosen = chosen_columns(results, choice)
    lines = [f"# {in_markdown(results.study.name)}", ""]
    lines += [in_markdown(results.study.question), ""] if results.study.question else []
    lines += [
        in_markdown(answer.effect),
        *([in_markdown(answer.beside)] if answer.beside else []),
        in_markdown(answer.cost),
        "",
        *(f"- {in_markdown(remark)}" for remark in answer.remarks),
    ]
    lines += ["", "## Comparison", ""]
    rows = [[in_markdown(column.header) for column in chosen]]
    rows += [[_markdown_cell(cell) for cell in row] for row in rows_of(results, chosen)]
    right, center = ([at for at, each in enumerate(chosen) if each.align == side] for side in ("right", "center"))
    lines += markdown_table(rows, right, center)
    lines += ["", *(f"- {column.header}: {column.meaning}" for column in chosen)]
    lines += [f"- bold: {BOLD}"]
    if results.groups:
        groups = "; ".join(", ".join(group) for group in results.groups)
        lines += ["", f"Variants that cannot be told apart: {in_markdown(groups)}"]
    if results.effects is not None and results.effects.estimates:
        rows = [[_markdown_cell(cell) for cell in row] for row in effect_rows(results.effects)]
        lines += ["", "## What each component does", ""]
        lines += [*markdown_table([effect_header(results.effects), *rows], right=(1, 2)), ""]
        lines.append(in_markdown(explained(results.effects)))
    for picture in pictures:
        lines += [
            "",
            f"## {picture.title}",
            "",
            f"![{in_markdown(picture.alt)}](figures/{picture.key}.svg) ([PDF](figures/{picture.key}.pdf))",
            "",
            in_markdown(picture.caption),
        ]
    rows = [["run", "variant", "seed", "status", results.study.score_name, "remark"]]
    for run in results.study.runs:
        value = f"{run.score:.4f}" if run.counts and run.score is not None else ""
        row = [run.name, run.variant, str(run.seed), run.status, value, run.problem or ""]
        rows.append([in_markdown(text) for text in row])
    lines += ["", "## Runs", "", *markdown_table(rows, right=(2, 4))]
    lines += ["", "## Notes", "", *(f"- {in_markdown(note)}" for note in results.notes)] if results.notes else []
    return "\n".join(lines) + "\n"


def _markdown_cell(cell: Cell) -> str:
    main = in_markdown(cell.main)
    main = f"**{main}**" if cell.best else main
    return f"{main} {in_markdown(cell.detail)}".strip()


def comma_separated(results: Results, choice: str = "default") -> str:
    """The numbers of the comparison, unrounded, a variant a line; empty where there is none.

    By default it has every number there is, otherwise the chosen columns with their deviations and bounds.
    """
    file = io.StringIO()
    rows = numbers_of(results, choice)
    names = dict.fromkeys(name for row in rows for name in row)
    writer = csv.DictWriter(file, names, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: in_csv(value) for name, value in row.items()} for row in rows)
    return file.getvalue()


def numbers_of(results: Results, choice: str = "default") -> list[dict[str, Any]]:
    """The rows of `comma_separated`, as values by name."""
    if choice == "default":
        return [_plain_row(results, variant) for variant in results.variants]
    chosen = chosen_columns(results, choice)
    return [_chosen_row(chosen, row) for row in rows_of(results, chosen)]


def effects_separated(effects: ComponentEffects) -> str:
    """Effects of components and interactions, unrounded, one a line."""
    file = io.StringIO()
    names = ("component", "effect", "se", "df", "low", "high", "p", "p_adjusted", "margin", "verdict", "pairs")
    writer = csv.DictWriter(file, names, lineterminator="\n")
    writer.writeheader()
    for each in effects.estimates:
        numbers = {name: getattr(each, name) for name in names if hasattr(each, name)}
        judged = {"margin": effects.margin, "verdict": effects.verdict(each)}
        writer.writerow({"component": in_csv(each.name), **numbers, **judged})
    return file.getvalue()


def _chosen_row(chosen: Sequence[Column], row: Sequence[Cell]) -> dict[str, object]:
    plain: dict[str, object] = {}
    for column, cell in zip(chosen, row, strict=True):
        plain[column.name] = cell.main if column.words else cell.value
        plain |= {f"{column.name}_{suffix}": value for suffix, value in (cell.spread or {}).items()}
    return plain


def _plain_row(results: Results, variant: Variant) -> dict[str, object]:
    row: dict[str, object] = {c.name: c.fill(variant).value for c in component_columns(results)}
    row |= {"variant": variant.label, "attention": variant.attention, "reference": variant.reference}
    row |= {"runs": len(variant.runs), "finished": len(variant.scores)}
    row |= _named(results.study.metric, variant.mean)
    if (comparison := variant.comparison) is not None:
        row |= {"baseline_seeds": comparison.seeds[1], **_named("difference", difference_of(variant))}
        learned = comparison.unlearned is None
        row |= {"pairs": comparison.paired.n, **_named("paired", comparison.paired if learned else None)}
        row |= {"p": comparison.p, "p_paired": comparison.p_paired, "p_sign_flip": comparison.p_sign_flip}
        row |= {"margin": comparison.margin, "verdict": comparison.verdict, "error": comparison.form}
        needed = comparison.needed
        row |= {"seeds_to_decide": needed and needed.seeds}
        row |= {"seeds_to_decide_low": needed and needed.low, "seeds_to_decide_high": needed and needed.high}
    if (found := results.over_images(variant.label)) is not None:
        row |= {"images_difference": found.difference, "images_low": found.low}
        row |= {"images_high": found.high, "images": results.images[variant.label].images}
    if (both := results.over_both(variant.label)) is not None:
        row |= {"both_difference": both.estimate, "both_low": both.low, "both_high": both.high}
    row |= _named("latency_ratio", variant.ratio)
    return row | _timed(results, variant) | dict(variant.numbers)


def _timed(results: Results, variant: Variant) -> dict[str, object]:
    """Where a study was timed together, with the ratios that the records do not have."""
    row: dict[str, object] = {}
    for number, (target, timed) in enumerate(zip(results.study.targets, variant.timed, strict=True), 1):
        suffix = "" if number == 1 else f"_{number}"
        row[f"latency_target{suffix}"] = described(target)
        if number > 1:
            row |= _bounded(f"latency_ratio{suffix}", timed_on(variant, number - 1))
        row |= _bounded(f"latency_baseline{suffix}", None if timed is None else timed.to_baseline)
    return row


def _bounded(name: str, ratio: Ratio | None) -> dict[str, object]:
    low, high = (None, None) if ratio is None else (ratio.low, ratio.high)
    return {name: None if ratio is None else ratio.ratio, f"{name}_low": low, f"{name}_high": high}


def _named(name: str, estimate: Estimate | None) -> dict[str, float | None]:
    if estimate is None:
        return dict.fromkeys((name, f"{name}_sd", f"{name}_low", f"{name}_high"))
    return {name: estimate.mean, f"{name}_sd": estimate.sd, f"{name}_low": estimate.low, f"{name}_high": estimate.high}
