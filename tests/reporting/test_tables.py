"""The comparison as text, Markdown, CSV and LaTeX."""

import csv
import io
import re

import pytest

from src.reporting.answer import answer
from src.reporting.comparison import compare
from src.reporting.study import read_study
from src.reporting.tables import comma_separated, latex, markdown, terminal
from tests.fabricate import config_of, write_run, write_study

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
    assert "1 of 10 runs are not in the comparison" in text
    assert re.search(r"failed +se-12-s0: OSError: a\|b", text)
    assert text.endswith("written to x")
    lines = text.splitlines()
    header = next(line for line in lines if line.startswith("variant"))
    assert "no result" in lines[lines.index(header) + 4]


@pytest.mark.parametrize("write", [latex, comma_separated])
def test_tables_without_any_result(write, tmp_path):
    write_run(tmp_path, config_of({"name": "acmix"}, 0), None, status="failed", error="OSError: full")
    assert "acmix" in write(compare(read_study("made_up", tmp_path), margin=0.005))
