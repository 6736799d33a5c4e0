"""The table of a paper: in LaTeX, and for word processors."""

from collections.abc import Sequence
from html import escape

from yolo26_attention.reporting.cells import Cell
from yolo26_attention.reporting.choice import BOLD, chosen_columns, rows_of
from yolo26_attention.reporting.column_type import Column
from yolo26_attention.reporting.columns import PAPER
from yolo26_attention.reporting.comparison import Results
from yolo26_attention.reporting.effects import ComponentEffects
from yolo26_attention.reporting.effects_told import effect_header, effect_rows, explained
from yolo26_attention.reporting.escapes import in_latex, latex_label

RULE = "1.5pt solid black"
THIN = "0.75pt solid black"


def latex(results: Results, choice: str = "default") -> str:
    """The comparison as a LaTeX table in the style of booktabs, which the preamble must load."""
    chosen = chosen_columns(results, choice, PAPER)
    marks = ",amssymb" if any(column.mark for column in chosen) else ""
    lines = _latex_table(
        "table*",
        f"{in_latex(_seeds(results))} {' '.join(_latex_sentences(results, chosen))}",
        latex_label(results.study.name),
        [column.latex or in_latex(column.header) for column in chosen],
        "".join(column.align[0] for column in chosen),
        rows_of(results, chosen),
    )
    if results.effects is not None and results.effects.estimates:
        lines += ["", *_latex_effects(results.effects, latex_label(results.study.name))]
    return "\n".join([f"% needs \\usepackage{{booktabs{marks}}}", *lines, ""])


def _latex_effects(effects: ComponentEffects, study: str) -> list[str]:
    """A second table: what each component does."""
    header = [in_latex(title) for title in effect_header(effects)]
    caption = in_latex(explained(effects))
    return _latex_table("table", caption, f"{study}-effects", header, "lrrll", effect_rows(effects))


def _latex_table(
    environment: str, caption: str, label: str, header: Sequence[str], align: str, rows: Sequence[Sequence[Cell]]
) -> list[str]:
    return [
        f"\\begin{{{environment}}}",
        "  \\centering",
        "  \\footnotesize",
        *(["  \\setlength{\\tabcolsep}{3pt}"] if environment == "table*" else []),
        "  \\setlength{\\belowcaptionskip}{6pt}",
        f"  \\caption{{{caption}}}",
        f"  \\label{{tab:{label}}}",
        f"  \\begin{{tabular}}{{{align}}}",
        "    \\toprule",
        f"    {' & '.join(header)} \\\\",
        "    \\midrule",
        *(f"    {' & '.join(map(_latex_cell, row))} \\\\" for row in rows),
        "    \\bottomrule",
        "  \\end{tabular}",
        f"\\end{{{environment}}}",
    ]


def _latex_cell(cell: Cell) -> str:
    main = in_latex(cell.main)
    main = f"\\textbf{{{main}}}" if cell.best else main
    return f"{main} {in_latex(cell.detail)}".strip()


def _latex_sentences(results: Results, chosen: Sequence[Column]) -> list[str]:
    explained = [f"{each.latex or in_latex(each.header)}: {in_latex(each.meaning)}." for each in _explained(chosen)]
    return [*explained, *map(in_latex, _remarks(results))]


def _explained(chosen: Sequence[Column]) -> list[Column]:
    """The columns that a caption explains."""
    return [column for column in chosen if column.name != "variant" and not column.mark]


def _seeds(results: Results) -> str:
    """Model, data set and numbers of seeds of a table."""
    names = {(r.config["model"]["name"], r.config["data"]["name"]) for v in results.variants for r in v.records}
    what = " on ".join(next(iter(names))) if len(names) == 1 else results.study.name
    counts = sorted({len(variant.scores) for variant in results.variants if variant.scores})
    if not counts:
        return f"{what}; no run has finished."
    many = " to ".join(map(str, dict.fromkeys((counts[0], counts[-1]))))
    where = ", test images" if results.study.scored_on == "test" else ""
    return f"{what}{where}, {'one seed' if many == '1' else f'means over {many} seeds'}."


def _remarks(results: Results) -> list[str]:
    nothing = f"No test of what learned nothing: {', '.join(results.unlearned)}." if results.unlearned else ""
    return [f"Bold: {BOLD}.", *([nothing] if nothing else [])]


def document(results: Results, choice: str = "default") -> str:
    """The comparison as an HTML table that Word, LibreOffice and Google Docs open, or take from the clipboard.

    The rules are those of booktabs, as styles of the cells: word processors ignore style sheets.
    """
    chosen = chosen_columns(results, choice, PAPER)
    caption = [_seeds(results), *(f"{column.header}: {column.meaning}." for column in _explained(chosen))]
    lines = _html_table(" ".join([*caption, *_remarks(results)]), chosen, rows_of(results, chosen))
    if results.effects is not None and results.effects.estimates:
        lines += _html_effects(results.effects)
    return "\n".join(
        [
            "<!doctype html>",
            f'<html lang="en"><head><meta charset="utf-8"><title>{escape(results.study.name)}</title></head>',
            "<body style=\"font-family: 'Times New Roman', serif; font-size: 9pt\">",
            *lines,
            "</body></html>",
            "",
        ]
    )


def _html_effects(effects: ComponentEffects) -> list[str]:
    """A second table: what each component does."""
    header = effect_header(effects)
    columns = [Column(name, name, "", lambda _: Cell(""), words=name not in header[1:3]) for name in header]
    return _html_table(explained(effects), columns, effect_rows(effects))


def _html_table(caption: str, columns: Sequence[Column], rows: Sequence[Sequence[Cell]]) -> list[str]:
    head = "".join(_html_cell(column, escape(column.header), top=RULE, bottom=THIN, tag="th") for column in columns)
    lines = [f"<tr>{head}</tr>"]
    for number, row in enumerate(rows, 1):
        bottom = RULE if number == len(rows) else "none"
        cells = [
            _html_cell(column, _html_text(cell), top="none", bottom=bottom)
            for column, cell in zip(columns, row, strict=True)
        ]
        lines.append(f"<tr>{''.join(cells)}</tr>")
    return [
        f"<p><b>Table.</b> {escape(caption)}</p>",
        '<table cellspacing="0" style="border-collapse: collapse; font-size: 9pt">',
        *lines,
        "</table>",
    ]


def _html_cell(column: Column, content: str, *, top: str, bottom: str, tag: str = "td") -> str:
    style = (
        f"border-top: {top}; border-bottom: {bottom}; padding: 2pt 5pt; text-align: {column.align}; white-space: nowrap"
    )
    return f'<{tag} style="{style}">{content}</{tag}>'


def _html_text(cell: Cell) -> str:
    main = escape(cell.main)
    main = f"<b>{main}</b>" if cell.best else main
    return f"{main} {escape(cell.detail)}".strip()
