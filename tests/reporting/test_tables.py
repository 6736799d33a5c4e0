"""The comparison as text, Markdown, CSV and LaTeX."""

import csv
import io
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from tests.fabricate import config_of, declare, latency_of, timing, write_run, write_study
from yolo26_attention.files.latency import PeakMemory
from yolo26_attention.reporting.answer import answer
from yolo26_attention.reporting.choice import chosen_columns
from yolo26_attention.reporting.comparison import compare
from yolo26_attention.reporting.page import page
from yolo26_attention.reporting.paper import latex
from yolo26_attention.reporting.study import read_study
from yolo26_attention.reporting.tables import comma_separated, markdown, terminal
from yolo26_attention.statistics import ImageDifference, Interval

VARIANTS = {
    "baseline": ({"name": "baseline"}, 0.5),
    "acmix": ({"name": "acmix", "kernel_att": 7}, 0.6),
    "cbam": ({"name": "cbam"}, 0.55),
}


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    output_dir = tmp_path_factory.mktemp("tables")
    write_study(output_dir, VARIANTS)
    write_run(output_dir, config_of({"name": "se"}, 0), None, status="failed", error="OSError: a|b\n")
    return compare(read_study("made_up", output_dir), margin=0.005)


def test_csv_holds_every_variant_unrounded(results):
    rows = {row["variant"]: row for row in csv.DictReader(io.StringIO(comma_separated(results)))}
    assert list(rows) == ["baseline", "acmix", "cbam", "se"]
    acmix = results.variant("acmix")
    assert float(rows["acmix"]["difference_low"]) == acmix.comparison.difference.low
    assert float(rows["acmix"]["latency_ratio"]) == pytest.approx(1.1)
    assert float(rows["acmix"]["ap_by_size.small"]) == pytest.approx(0.4)
    assert rows["acmix"]["verdict"] in ("better", "undecided")
    assert rows["se"]["map50_95"] == rows["se"]["difference"] == ""
    assert (rows["se"]["finished"], rows["se"]["runs"]) == ("0", "1")


def test_markdown_is_one_table_a_topic_with_every_run(results):
    text = markdown(results, answer(results), [])
    tables = re.split(r"\n\n", text)
    comparison = next(block for block in tables if block.startswith("| variant")).splitlines()
    assert len(comparison) == 2 + len(results.variants)
    assert len({line.count("|") for line in comparison}) == 1
    assert all(run.name in text for run in results.study.runs)
    assert "OSError: a\\|b" in text
    assert answer(results).effect in text


def test_latex_has_booktabs_rules_and_escapes(results):
    text = latex(results)
    assert [rule for rule in re.findall(r"\\(\w+rule)", text)] == ["toprule", "midrule", "bottomrule"]
    body = text[text.index("\\midrule") : text.index("\\bottomrule")]
    columns = len(re.search(r"\\begin\{tabular\}\{([lr]+)\}", text)[1])
    rows = [line for line in body.splitlines() if line.endswith("\\\\")]
    assert len(rows) == len(results.variants)
    assert all(row.count("&") == columns - 1 for row in rows)
    assert not re.search(r"(?<!\\)_|−|±|(?<!\\)%", body)
    assert "$\\pm$" in body


def test_latex_escapes_what_labels_may_hold(tmp_path):
    shifts = {shift: ({"name": "acmix", "shift": shift}, 0.5) for shift in ("50%_{x}", "&#")}
    write_study(tmp_path, shifts, (0,))
    text = latex(compare(read_study("made_up", tmp_path), margin=0.005))
    assert "shift=50\\%\\_\\{x\\}" in text
    assert "shift=\\&\\#" in text


def test_terminal_lists_what_is_left_out(results):
    text = terminal(results, answer(results), ["written to x"])
    assert "not in the comparison: 1 of 10 runs" in text
    assert re.search(r"failed +se-12-s0: OSError: a\|b", text)
    assert text.endswith("written to x")
    lines = text.splitlines()
    header = next(line for line in lines if line.startswith("variant"))
    assert "no result" in lines[lines.index(header) + 4]


@pytest.mark.parametrize("write", [latex, comma_separated])
def test_tables_without_any_result(write, tmp_path):
    write_run(tmp_path, config_of({"name": "acmix"}, 0), None, status="failed", error="OSError: full")
    assert "acmix" in write(compare(read_study("made_up", tmp_path), margin=0.005))


ODD = ["=1+1", "@cmd", "-2", "+3", "a|b", "50%_{x}", "R&D <b>*x*", "\u7f51\u7edc", "x" * 300,
       'say "hi", you', "a\\b", "[1]", "~^$#", "two\nlines"]  # fmt: skip


@pytest.fixture(scope="module")
def odd(tmp_path_factory):
    """A study whose variants and classes have names that mean something to some format."""
    output_dir = tmp_path_factory.mktemp("odd")
    classes = {name: 0.1 + 0.01 * index for index, name in enumerate(ODD)}
    runs = []
    for index, label in enumerate(ODD):
        folder = write_run(output_dir, config_of({"name": f"own{index}"}, 0), 0.5 + 0.01 * index, ap_by_class=classes)
        runs.append({"run": folder.name, "variant": label, "seed": 0})
    declare(output_dir, "made_up", runs)
    return compare(read_study("made_up", output_dir), margin=0.005)


def test_csv_has_no_formula_and_every_name(odd):
    rows = list(csv.DictReader(io.StringIO(comma_separated(odd))))
    assert [row["variant"].removeprefix("'") for row in rows] == ODD
    assert [row["variant"][0] for row in rows[:4]] == ["'"] * 4
    assert [float(row["map50_95"]) for row in rows] == pytest.approx([0.5 + 0.01 * index for index in range(len(ODD))])


def test_markdown_keeps_its_cells_and_shows_names_as_they_are(odd):
    text = markdown(odd, answer(odd), [])
    table = text.split("## Comparison\n\n")[1].split("\n\n")[0].splitlines()
    assert len(table) == 2 + len(ODD)
    assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table}) == 1
    assert "R&D \\<b>\\*x\\*" in text
    assert "<b>" not in text.replace("\\<b>", "")


def test_latex_escapes_every_name(odd):
    text = latex(odd)
    rows = text.split("\\midrule\n")[1].split("    \\bottomrule")[0].splitlines()
    assert len(rows) == len(ODD)
    assert len({len(re.findall(r"(?<!\\)&", row)) for row in rows}) == 1
    assert not any(re.search(r"(?<!\\)[%#_]|^\s*\[", row) for row in rows)
    assert "a\\textbar{}b" in text
    assert "R\\&D $<$b$>$*x*" in text


def test_page_shows_odd_names_of_variants_and_classes_as_text(odd):
    found = []
    parser = HTMLParser()
    parser.handle_data = found.append
    text = page(odd, answer(odd), [], "report", "now")
    parser.feed(text)
    for name in ODD:
        assert found.count(name) >= 2  # the comparison, and a class
    assert "<b>" not in text


def test_a_study_name_makes_a_label(tmp_path):
    write_study(tmp_path, {"b": ({"name": "baseline"}, 0.5)}, (0,), study="50%_odd")
    assert "\\label{tab:50--odd}" in latex(compare(read_study("50%_odd", tmp_path), margin=0.005))


def test_every_column_has_its_own_number(tmp_path):
    latency = latency_of(1.5, p50_ms=9.0, end_to_end=timing(1.25), memory=PeakMemory(7.0, 7.0, 1.0, "an allocator"))
    sizes = {"small": 0.1, "medium": 0.2, "large": 0.3}
    for index, name in enumerate(["baseline", "acmix", "cbam"]):
        for seed, noise in enumerate((0.0, 0.004, 0.001)[:3]):
            value = 0.5 + 0.02 * index + noise * (index + 1)
            write_run(tmp_path, config_of({"name": name}, seed), value, latency=latency, ap_by_size=sizes)
    write_run(tmp_path, config_of({"name": "cbam"}, 3), 0.6, latency=latency, ap_by_size=sizes)
    write_run(tmp_path, config_of({"name": "cbam"}, 0), float("nan"))
    results = compare(read_study("made_up", tmp_path), margin=0.005)
    cells = {c.header: c.fill(results.variant("acmix")).text for c in chosen_columns(results, "all")}
    expected = {"AP small": "0.100", "AP medium": "0.200", "AP large": "0.300", "end to end": "1.250"}
    expected |= {"memory (MB)": "7.0", "p50 (ms)": "9.00", "seeds": "3/3"}
    assert {header: cells[header] for header in expected} == expected
    comparison = results.variant("acmix").comparison
    assert cells["p"] == f"{comparison.p:.3f}"
    assert comparison.p != comparison.p_paired
    assert cells["paired by seed"].startswith(f"+{comparison.paired.mean:.4f} [")
    assert cells["difference"].endswith(f"{comparison.difference.high:+.4f}]")
    assert "yolo26n on digits, means over 3 seeds." in latex(results)


@pytest.mark.parametrize(("p", "shown"), [(0.0009, "<0.001"), (0.001, "0.001"), (0.0051, "0.005"), (1.0, "1.000")])
def test_a_p_is_shown_to_a_thousandth(p, shown, results):
    variant = results.variant("acmix")
    changed = replace(variant, comparison=replace(variant.comparison, p=p))
    (column,) = [column for column in chosen_columns(results, "default") if column.header == "p"]
    assert column.fill(changed).text == shown


def test_csv_has_the_interval_over_images_of_map50_95(results):
    wide, narrow = Interval(0.1, 0.05, 0.15), Interval(0.2, 0.15, 0.25)
    found = replace(results, images={"acmix": ImageDifference(wide, narrow, 8, (0,))})
    row = list(csv.DictReader(io.StringIO(comma_separated(found))))[1]
    assert [float(row[f"images_{name}"]) for name in ("difference", "low", "high")] == [0.1, 0.05, 0.15]
