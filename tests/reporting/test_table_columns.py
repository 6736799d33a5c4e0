"""Which columns a table shows, what they hold, and which cell is bold."""

import csv
import io
import re
from html.parser import HTMLParser

import pytest

from src.report import Options, report
from tests.fabricate import config_of, latency_of, model_of, write_run, write_study
from yolo26_attention.config.errors import ConfigError
from yolo26_attention.reporting.answer import answer
from yolo26_attention.reporting.choice import chosen_columns, rows_of
from yolo26_attention.reporting.columns import PAPER, every_column
from yolo26_attention.reporting.comparison import compare
from yolo26_attention.reporting.paper import document, latex
from yolo26_attention.reporting.study import read_study
from yolo26_attention.reporting.tables import comma_separated, markdown, terminal

BASELINE, ACMIX, CBAM = {"name": "baseline"}, {"name": "acmix", "kernel_att": 7}, {"name": "cbam"}


def read(output_dir):
    return compare(read_study("made_up", output_dir), margin=0.005)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    output_dir = tmp_path_factory.mktemp("columns")
    write_study(output_dir, {"baseline": (BASELINE, 0.5), "acmix": (ACMIX, 0.6), "cbam": (CBAM, 0.55)})
    return read(output_dir)


def bold(results, name):
    """Labels of the variants whose cell of a column is bold."""
    columns = chosen_columns(results, f"[variant,{name}]")
    return [row[0].main for row in rows_of(results, columns) if row[1].best]


def test_the_paper_table_has_what_papers_publish(results):
    header = re.search(r"\\toprule\n(.*?)\\\\", latex(results))[1]
    assert [title.strip() for title in header.split("&")] == [
        "variant", "P", "R", r"mAP\textsubscript{50}", r"mAP\textsubscript{50--95}",
        r"$\Delta$ [95\,\%]", "Params (M)", "GFLOPs", r"Latency ($\times$)", "FPS",
    ]  # fmt: skip
    caption = re.search(r"\\caption\{(.*)\}", latex(results))[1]
    assert "of the fused network at 128 px" in caption
    assert "batch 1, 128 px, cpu, fp32" in caption


def test_percent_columns_are_a_hundred_times_the_fractions(results):
    every, acmix = every_column(results), results.variant("acmix")
    for name in ("precision", "recall", "map50", "map50_95", "difference"):
        fraction, percent = every[name].fill(acmix).value, every[f"{name}_percent"].fill(acmix).value
        assert percent == pytest.approx(100 * fraction)
    assert every["recall_percent"].fill(acmix).text == "60.0"
    assert every["parameters_m"].fill(acmix).text == "2.75"
    assert every["fps"].fill(acmix).value == pytest.approx(1000 / (9.0 * 1.1))
    assert every["images_per_second"].fill(acmix).value == pytest.approx(240 / 1.1)


def test_one_choice_holds_for_every_format(results):
    choice = "[map50,recall,fps]"
    said = answer(results)
    assert re.search(r"^variant +mAP50 +recall +FPS$", terminal(results, said, [], choice), re.MULTILINE)
    assert "| variant | mAP50 | recall | FPS |" in markdown(results, said, [], choice)
    row = next(csv.DictReader(io.StringIO(comma_separated(results, choice))))
    assert list(row) == [
        "variant",
        *(f"{n}{s}" for n in ("map50", "recall") for s in ("", "_sd", "_low", "_high")),
        "fps",
    ]
    assert float(row["fps"]) == pytest.approx(1000 / 9)
    assert "variant & mAP50 & recall & FPS" in latex(results, choice)
    assert re.findall(r"<th [^>]*>([^<]*)</th>", document(results, choice)) == ["variant", "mAP50", "recall", "FPS"]


def test_the_page_shows_the_chosen_columns(tmp_path):
    write_study(tmp_path, {"baseline": (BASELINE, 0.5), "acmix": (ACMIX, 0.6)})
    report(Options("made_up", str(tmp_path), columns="map50,fps", resamples=0, looks=False))
    text = (tmp_path / "studies" / "made_up" / "report" / "index.html").read_text()
    table = text.split('id="comparison"')[1].split("</table>")[0]
    assert re.findall(r"<button[^>]*>([^<]*)</button>", table) == ["variant", "mAP50", "FPS"]
    assert "columns=map50,fps" in text


def test_a_column_chosen_by_name_is_shown_even_if_it_is_empty(tmp_path):
    write_study(tmp_path, {"baseline": (BASELINE, 0.5), "acmix": (ACMIX, 0.6)})
    found = read(tmp_path)
    assert "over_images" not in [column.name for column in chosen_columns(found, "all")]
    assert [column.name for column in chosen_columns(found, "over_images")] == ["variant", "over_images"]


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        pytest.param("[map5]", r"there is no column map5; did you mean map50\? choose default, paper, all", id="near"),
        pytest.param("[map50,zzz]", "there is no column zzz; choose default", id="far"),
        pytest.param("[]", "it names no column; choose default", id="empty"),
    ],
)
def test_an_unknown_column_is_refused_with_the_names(choice, message, results):
    with pytest.raises(ConfigError, match=message):
        chosen_columns(results, choice)


def test_the_best_is_bold_only_if_it_can_be_told_apart(tmp_path):
    for name, scores in {
        "baseline": (0.50, 0.51, 0.49),
        "acmix": (0.60, 0.61, 0.59),
        "cbam": (0.60, 0.59, 0.61),
    }.items():
        for seed, score in enumerate(scores):
            metrics = {
                "map50_95": score,
                "map50": score,
                "precision": 0.5 + 0.1 * (name == "cbam") + seed**2 / 1000 * len(name) % 0.01,
            }
            write_run(tmp_path, config_of({"name": name}, seed), score, metrics=metrics | {"recall": 0.5})
    found = read(tmp_path)
    assert bold(found, "map50_95") == bold(found, "map50") == bold(found, "recall") == []
    assert bold(found, "precision") == ["cbam"]
    assert "**" not in markdown(found, answer(found), [], "[map50_95]").split("## Runs")[0].replace("bold", "")


def test_the_best_is_bold_in_every_format(results):
    assert bold(results, "map50_95") == ["acmix"]
    assert re.search(r"acmix .*\\textbf\{[\d.]+\} \$\\pm\$", latex(results))
    assert re.search(r"<b>[56]\d\.\d</b> ± ", document(results))
    assert re.search(r"\*\*0\.\d{4}\*\* ±", markdown(results, answer(results), []))


def test_exact_costs_need_no_seeds_and_a_tie_has_no_best(tmp_path):
    for name, parameters in (("baseline", 100), ("acmix", 90), ("cbam", 90)):
        model = model_of(parameters=parameters, gflops=float(len(name)))
        write_run(tmp_path, config_of({"name": name}, 0), 0.5, model=model)
    found = read(tmp_path)
    assert bold(found, "parameters_m") == []
    assert bold(found, "gflops") == ["cbam"]
    assert bold(found, "map50_95") == []  # one seed tells nothing apart


@pytest.mark.parametrize(
    ("changes", "best"),
    [
        pytest.param({}, ["latency_ratio", "latency_times"], id="alike"),
        pytest.param({"backend": "onnxruntime"}, [], id="backends"),
        pytest.param({"imgsz": 256}, [], id="sizes"),
    ],
)
def test_costs_that_were_taken_in_different_ways_have_no_best(changes, best, tmp_path):
    for name, ratio, own in (("baseline", 1.0, {}), ("acmix", 1.5, changes)):
        for seed in range(3):
            latency = latency_of(ratio + len(name) * seed**2 / 1000, **own)
            model = model_of(ratio, flops_imgsz=own.get("imgsz", 128))
            write_run(tmp_path, config_of({"name": name}, seed), 0.5 + seed / 100, latency=latency, model=model)
    found = read(tmp_path)
    columns = [name for name in ("latency_ratio", "latency_times") if bold(found, name) == ["baseline"]]
    assert columns == best
    assert bold(found, "gflops") == ([] if "imgsz" in changes else ["baseline"])
    assert bold(found, "parameters_m") == ["baseline"]


def test_names_of_columns_are_unique_and_the_paper_has_known_ones(results):
    every = every_column(results)
    assert set(PAPER) <= set(every)
    assert all(name == column.name for name, column in every.items())


class Tags(HTMLParser):
    """Rows of a table, each with its cells' styles."""

    def __init__(self, text):
        super().__init__()
        self.rows = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        if tag == "tr":
            self.rows.append([])
        elif tag in ("th", "td"):
            self.rows[-1].append(dict(attributes)["style"])


def test_the_table_for_word_has_three_rules_in_its_cells(results):
    rows = Tags(document(results)).rows
    assert len(rows) == 4
    assert {len(row) for row in rows} == {len(PAPER)}
    assert all("border-top: 1.5pt solid" in style and "border-bottom: 0.75pt" in style for style in rows[0])
    assert all("border-bottom: 1.5pt solid" in style for style in rows[-1])
    assert all("border-top: none; border-bottom: none" in style for style in rows[1])
    assert "<style" not in document(results)


@pytest.mark.parametrize("choice", ["paper", "all"])
def test_sets_of_columns_write_every_format(choice, results):
    said = answer(results)
    for text in (terminal(results, said, [], choice), markdown(results, said, [], choice), latex(results, choice)):
        assert "cbam" in text
    assert len(chosen_columns(results, "all")) > len(chosen_columns(results, "paper"))
