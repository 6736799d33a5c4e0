"""The comparison as rows, written for a terminal, Markdown, CSV and LaTeX."""

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from yolo26_attention.columns import aligned
from yolo26_attention.reporting.answer import Answer, minus
from yolo26_attention.reporting.comparison import Results
from yolo26_attention.reporting.escapes import in_csv, in_latex, in_markdown, latex_label
from yolo26_attention.reporting.study import METRIC
from yolo26_attention.reporting.style import Picture
from yolo26_attention.reporting.variant import Variant
from yolo26_attention.statistics import Estimate


@dataclass(frozen=True)
class Cell:
    """What a table shows, the number it sorts by (None: nothing to sort by), and how sure the number is."""

    main: str
    value: float | None = None
    detail: str = ""

    @property
    def text(self) -> str:
        return f"{self.main} {self.detail}".strip()


@dataclass(frozen=True)
class Column:
    """A column: its header, what the header means, and how a variant fills it."""

    header: str
    meaning: str
    fill: Callable[[Results, Variant], Cell]
    words: bool = False


def columns(results: Results) -> list[Column]:
    """The columns that have something to show in this study."""
    level = f"{results.level:.0%}"
    every = [
        Column("variant", "what differs", lambda _, v: Cell(v.label), words=True),
        Column("seeds", "finished of all", lambda _, v: Cell(f"{len(v.scores)}/{len(v.runs)}", len(v.scores))),
        Column("mAP50-95", "mean ± standard deviation over seeds", lambda _, v: _mean(v.mean)),
        Column(
            "difference",
            f"to the baseline, with its simultaneous {level} interval by one model of all runs",
            lambda _, v: _difference(v),
        ),
        Column("p", "adjusted for all comparisons, by the same model", lambda _, v: _p(v, "p")),
        Column(
            "verdict",
            f"better, worse, no difference larger than {results.margin:g}, undecided, or none: scores up to "
            f"{results.floor:g} are not told apart from an untrained network's",
            lambda _, v: Cell(_words(v)),
            words=True,
        ),
        Column("latency ratio", f"to the stock model, {level} interval", lambda _, v: _ratio(v.ratio)),
        Column("over images", f"{level} interval of the difference for other images, these networks", _over_images),
        Column("seeds and images", f"{level} interval of the difference for other seeds and other images", _over_both),
        Column("paired by seed", f"difference over common seeds, {level} t interval of itself alone", _paired),
        Column("sign-flip p", "exact, not adjusted", lambda _, v: _p(v, "p_sign_flip")),
        Column("AP small", "objects below 32 x 32 pixels (COCO)", lambda _, v: _number(v, "ap_by_size.small", ".3f")),
        Column("AP medium", "objects in between (COCO)", lambda _, v: _number(v, "ap_by_size.medium", ".3f")),
        Column("AP large", "objects above 96 x 96 pixels (COCO)", lambda _, v: _number(v, "ap_by_size.large", ".3f")),
        Column(
            "end to end",
            "latency ratio with pre- and postprocessing",
            lambda _, v: _number(v, "latency.end_to_end.ratio_to_stock", ".3f"),
        ),
        Column("memory (MB)", "peak of a forward pass", lambda _, v: _number(v, "latency.memory.peak_mb", ",.1f")),
        Column("p50 (ms)", "median of a forward pass", lambda _, v: _number(v, "latency.p50_ms", ".2f")),
        Column("parameters", "fused", lambda _, v: _number(v, "model.parameters", ",.0f")),
        Column(_flops_header(results), "fused", lambda _, v: _number(v, "model.gflops", ".3f")),
    ]
    return [column for column in every if any(column.fill(results, v).text for v in results.variants)]


def _flops_header(results: Results) -> str:
    """GFLOPs with the image sizes they were counted at; records of earlier versions do not have them."""
    models = [record.model for variant in results.variants for record in variant.records]
    known = sorted({model.flops_imgsz for model in models if model is not None and model.flops_imgsz is not None})
    return f"GFLOPs at {' and '.join(map(str, known))} px" if known else "GFLOPs"


def _mean(estimate: Estimate) -> Cell:
    if estimate.mean is None:
        return Cell("")
    return Cell(f"{estimate.mean:.4f}", estimate.mean, "" if estimate.sd is None else f"± {estimate.sd:.4f}")


def _difference(variant: Variant) -> Cell:
    found = difference_of(variant)
    if found is None or found.mean is None:
        return Cell("")
    return _signed(found.mean, found.bounds)


def _paired(results: Results, variant: Variant) -> Cell:
    comparison = variant.comparison
    if comparison is None or comparison.unlearned is not None or comparison.paired.mean is None:
        return Cell("")
    return _signed(comparison.paired.mean, comparison.paired.bounds)


def _signed(value: float, bounds: tuple[float, float] | None) -> Cell:
    interval = "" if bounds is None else minus(f"[{bounds[0]:+.4f}, {bounds[1]:+.4f}]")
    return Cell(minus(f"{value:+.4f}"), value, interval)


def difference_of(variant: Variant) -> Estimate | None:
    """The difference to the baseline; None where nothing can be said of it, as one of the two learned nothing."""
    comparison = variant.comparison
    return None if comparison is None or comparison.unlearned is not None else comparison.difference


def _p(variant: Variant, name: str) -> Cell:
    value = None if variant.comparison is None else getattr(variant.comparison, name)
    return Cell("") if value is None else Cell("<0.001" if value < 0.001 else f"{value:.3f}", value)


def _words(variant: Variant) -> str:
    if not variant.scores:
        return "no result"
    if variant.comparison is None:
        kind = "baseline" if variant.is_baseline else "nothing to compare with"
        return kind if variant.learned else f"{kind}: learned nothing"
    return variant.comparison.words


def _over_images(results: Results, variant: Variant) -> Cell:
    found = results.images.get(variant.label)
    if found is None or found.map50_95.low is None:
        return Cell("")
    return _signed(found.map50_95.difference, found.map50_95.bounds)


def _over_both(results: Results, variant: Variant) -> Cell:
    found = results.both.get(variant.label)
    return Cell("") if found is None else _signed(found.estimate, (found.low, found.high))


def _ratio(estimate: Estimate) -> Cell:
    if estimate.mean is None:
        return Cell("")
    bounds = "" if estimate.low is None else f"[{estimate.low:.2f}, {estimate.high:.2f}]"
    return Cell(f"{estimate.mean:.3f}", estimate.mean, bounds)


def _number(variant: Variant, name: str, form: str) -> Cell:
    value = variant.numbers.get(name)
    return Cell("") if value is None else Cell(format(value, form), value)


def terminal(results: Results, answer: Answer, written: Sequence[str]) -> str:
    """The answer, the table, what is left out and what was written, as plain text."""
    narrow = {"variant", "seeds", "mAP50-95", "difference", "p", "verdict", "latency ratio"}
    chosen = [column for column in columns(results) if column.header in narrow]
    lines = [answer.effect, answer.cost, *(f"- {remark}" for remark in answer.remarks), "", *_aligned(results, chosen)]
    if len(results.groups) > 0:
        lines += ["", "cannot be told apart: " + "; ".join(", ".join(group) for group in results.groups)]
    if problems := [run for run in results.study.runs if not run.counts]:
        lines += ["", f"{len(problems)} of {len(results.study.runs)} runs are not in the comparison:"]
        lines += [f"  {run.status:<12}  {run.name}: {run.problem}" for run in problems]
    lines += ["", *(f"note: {note}" for note in results.notes)] if results.notes else []
    return "\n".join([*lines, "", *written])


def _aligned(results: Results, chosen: Sequence[Column]) -> list[str]:
    rows = [[column.header for column in chosen]]
    rows += [[column.fill(results, variant).text for column in chosen] for variant in results.variants]
    return aligned(rows, right=[index for index, column in enumerate(chosen) if not column.words])


def markdown(results: Results, answer: Answer, pictures: Sequence[Picture]) -> str:
    """The whole report as Markdown; pictures are linked in the folder `figures` beside it."""
    chosen = columns(results)
    lines = [f"# {in_markdown(results.study.name)}", ""]
    lines += [in_markdown(results.study.question), ""] if results.study.question else []
    lines += [
        in_markdown(answer.effect),
        in_markdown(answer.cost),
        "",
        *(f"- {in_markdown(remark)}" for remark in answer.remarks),
    ]
    lines += ["", "## Comparison", ""]
    lines.append(_markdown_row([column.header for column in chosen]))
    lines.append(_markdown_row(["---" if column.words else "---:" for column in chosen]))
    lines += [_markdown_row([c.fill(results, v).text for c in chosen]) for v in results.variants]
    lines += ["", *(f"- {column.header}: {column.meaning}" for column in chosen)]
    if results.groups:
        groups = "; ".join(", ".join(group) for group in results.groups)
        lines += ["", f"Variants that cannot be told apart: {in_markdown(groups)}"]
    for picture in pictures:
        file = f"figures/{picture.key}.{picture.suffix}"
        lines += [
            "",
            f"## {picture.title}",
            "",
            f"![{in_markdown(picture.alt)}]({file})",
            "",
            in_markdown(picture.caption),
        ]
    lines += ["", "## Runs", "", _markdown_row(["run", "variant", "seed", "status", "mAP50-95", "remark"])]
    lines.append(_markdown_row(["---", "---", "---:", "---", "---:", "---"]))
    for run in results.study.runs:
        value = f"{run.record.metrics[METRIC]:.4f}" if run.counts and run.record is not None else ""
        lines.append(_markdown_row([run.name, run.variant, str(run.seed), run.status, value, run.problem or ""]))
    lines += ["", "## Notes", "", *(f"- {in_markdown(note)}" for note in results.notes)] if results.notes else []
    return "\n".join(lines) + "\n"


def _markdown_row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(map(in_markdown, cells)) + " |"


def comma_separated(results: Results) -> str:
    """Every number of the comparison, unrounded, a variant a line; empty where there is none."""
    file = io.StringIO()
    rows = [_plain_row(results, variant) for variant in results.variants]
    names = dict.fromkeys(name for row in rows for name in row)
    writer = csv.DictWriter(file, names, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: in_csv(value) for name, value in row.items()} for row in rows)
    return file.getvalue()


def _plain_row(results: Results, variant: Variant) -> dict[str, object]:
    row: dict[str, object] = {"variant": variant.label, "attention": variant.attention, "reference": variant.reference}
    row |= {"runs": len(variant.runs), "finished": len(variant.scores)}
    row |= _named("map50_95", variant.mean)
    if (comparison := variant.comparison) is not None:
        row |= {"baseline_seeds": comparison.seeds[1], **_named("difference", difference_of(variant))}
        learned = comparison.unlearned is None
        row |= {"pairs": comparison.paired.n, **_named("paired", comparison.paired if learned else None)}
        row |= {"p": comparison.p, "p_paired": comparison.p_paired, "p_sign_flip": comparison.p_sign_flip}
        row |= {"margin": comparison.margin, "verdict": comparison.verdict, "error": comparison.form}
        needed = comparison.needed
        row |= {"seeds_to_decide": needed and needed.seeds}
        row |= {"seeds_to_decide_low": needed and needed.low, "seeds_to_decide_high": needed and needed.high}
    if (found := results.images.get(variant.label)) is not None:
        row |= {"images_difference": found.map50_95.difference, "images_low": found.map50_95.low}
        row |= {"images_high": found.map50_95.high, "images": found.images}
    if (both := results.both.get(variant.label)) is not None:
        row |= {"both_difference": both.estimate, "both_low": both.low, "both_high": both.high}
    return row | _named("latency_ratio", variant.ratio) | dict(variant.numbers)


def _named(name: str, estimate: Estimate | None) -> dict[str, float | None]:
    if estimate is None:
        return dict.fromkeys((name, f"{name}_sd", f"{name}_low", f"{name}_high"))
    return {name: estimate.mean, f"{name}_sd": estimate.sd, f"{name}_low": estimate.low, f"{name}_high": estimate.high}


def latex(results: Results) -> str:
    """The comparison as a LaTeX table in the manner of booktabs, which the preamble must load."""
    wanted = ("variant", "seeds", "mAP50-95", "difference", "p", "AP small", "latency ratio", "parameters", "GFLOPs")
    chosen = [column for column in columns(results) if column.header.split(" at ")[0] in wanted]
    rows = [[column.fill(results, variant).text for column in chosen] for variant in results.variants]
    seeds = sorted({n for compared in results.judged for n in compared.comparison.seeds})
    nothing = (
        f" No test of what learned nothing: {in_latex(', '.join(results.unlearned))}." if results.unlearned else ""
    )
    over = f" over {' to '.join(map(str, dict.fromkeys((seeds[0], seeds[-1]))))} seeds" if seeds else ""
    return "\n".join(
        [
            "% needs \\usepackage{booktabs}",
            "\\begin{table}",
            "  \\centering",
            f"  \\caption{{Mean and standard deviation of mAP50-95{over}; difference to the baseline with its "
            f"simultaneous {results.level * 100:g}\\,\\% interval and adjusted $p$ by one model of all runs; latency "
            f"as a multiple of the stock model's.{nothing}}}",
            f"  \\label{{tab:{latex_label(results.study.name)}}}",
            f"  \\begin{{tabular}}{{{''.join('l' if column.words else 'r' for column in chosen)}}}",
            "    \\toprule",
            f"    {' & '.join(in_latex(column.header) for column in chosen)} \\\\",
            "    \\midrule",
            *(f"    {' & '.join(map(in_latex, row))} \\\\" for row in rows),
            "    \\bottomrule",
            "  \\end{tabular}",
            "\\end{table}",
            "",
        ]
    )
