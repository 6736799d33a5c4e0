"""Studies of components, and of anything that is no attention: baselines, effects and what the report shows of them."""

import csv
import io
import json
import re
import shutil
import subprocess

import numpy as np
import pytest

from tests.fabricate import config_of, declare, write_run
from yolo26_attention.plan.attention_names import attention_name
from yolo26_attention.reporting.answer import answer
from yolo26_attention.reporting.columns import CHECK_MARK
from yolo26_attention.reporting.comparison import compare
from yolo26_attention.reporting.effects_figure import draw_effects
from yolo26_attention.reporting.page import page
from yolo26_attention.reporting.paper import document, latex
from yolo26_attention.reporting.signs import interval, signed
from yolo26_attention.reporting.study import read_study
from yolo26_attention.reporting.tables import comma_separated, effects_separated, markdown, terminal

COMPONENTS = {
    "acmix": {"attention.grafts": {"p3": "acmix"}},
    "cbam": {"attention.grafts": {"p5": "cbam"}},
    "mosaic": {"trainer.mosaic": 1.0},
}
FULL = [
    tuple(name for name, there in zip(COMPONENTS, bits, strict=True) if there)
    for bits in np.ndindex(2, 2, 2)
]  # fmt: skip
MIX = {"name": "mix", "grafts": {"p3": [{"name": "acmix", "options": {}}], "p5": [{"name": "cbam", "options": {}}]}}


def run_of(output_dir, variant, config, score, seed, **entry):
    """A run under a folder of its own name, and its entry of study.json."""
    made = write_run(
        output_dir, config | {"attention": {"name": "se"}}, score, training={"mosaic_epochs": int("mosaic" in variant)}
    )
    folder = made.rename(made.with_name(f"{variant.replace(' ', '')}-s{seed}"))
    record = json.loads((folder / "record.json").read_text()) | {"config": config, "name": folder.name}
    (folder / "record.json").write_text(json.dumps(record))
    return {"run": folder.name, "variant": variant, "seed": seed, "baseline": "baseline", **entry}


def study(output_dir, combinations=FULL, worth=None, seeds=(0, 1, 2), spread=0.003):
    """A study of components whose scores add up what each component is worth."""
    generator, runs = np.random.default_rng(1), []
    for names in combinations:
        grafts = [name for name in names if name != "mosaic"]
        attention = MIX if len(grafts) == 2 else {"name": grafts[0] if grafts else "baseline"}
        for seed in seeds:
            score = 0.6 + sum(value for part, value in (worth or {}).items() if set(part) <= set(names))
            config = config_of(attention, seed, trainer__mosaic=float("mosaic" in names))
            label = " + ".join(names) or "baseline"
            score += spread * generator.standard_normal()
            runs.append(run_of(output_dir, label, config, float(score), seed, components=names))
    declare(output_dir, "made_up", runs)
    path = output_dir / "studies" / "made_up" / "study.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"components": COMPONENTS}))
    return compare(read_study("made_up", output_dir), margin=0.005)


WORTH = {("acmix",): 0.03, ("mosaic",): -0.02, ("acmix", "cbam"): 0.02}


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return study(tmp_path_factory.mktemp("components"), worth=WORTH)


def test_effects_are_those_that_the_scores_were_made_of(results):
    found = {each.name: each for each in results.effects.estimates}
    # Averaged over where the other is: half of what the two are worth together.
    truth = {
        "acmix": 0.04,
        "cbam": 0.01,
        "mosaic": -0.02,
        "acmix × cbam": 0.02,
        "acmix × mosaic": 0,
        "cbam × mosaic": 0,
    }
    assert list(found) == list(truth)
    for name, value in truth.items():
        assert found[name].low < value < found[name].high
        assert found[name].high - found[name].low < 0.02
    assert results.effects.words(found["acmix"]) == "helps"
    assert results.effects.words(found["mosaic"]) == "hurts"
    assert results.effects.words(found["acmix × cbam"]) == "help each other"


def test_two_sentences_say_which_component_did_what(results):
    said = answer(results)
    assert said.effect.startswith("For yolo26n on digits, acmix helps (+0.0")
    assert "mosaic hurts (−0.0" in said.effect
    assert "acmix and cbam help each other (+0.0" in said.effect
    assert said.remarks[0].startswith("acmix + cbam, the highest of 7 variants, makes yolo26n on digits better")
    assert said.cost.startswith("acmix + cbam takes ")
    assert [each.name for each in said.drawn] == ["acmix", "cbam", "mosaic"]


def test_the_page_draws_the_effect_of_each_component_and_names_the_largest(results):
    shown = page(results, answer(results), [], "", "")
    assert re.findall('<span class="name">([^<]*)</span>', shown) == ["acmix", "cbam", "mosaic"]
    assert shown.count('class="range"') == 3
    largest = next(each for each in results.effects.estimates if each.name == "acmix")
    tile = re.search(r"<dt>effect of acmix on mAP50-95</dt><dd>([^<]*)<small>([^<]*)</small>", shown)
    assert tile.groups() == (signed(largest.effect), interval((largest.low, largest.high)))


def test_the_combination_without_components_is_the_baseline_and_components_are_no_confounds(results):
    assert [variant.label for variant in results.variants if variant.is_baseline] == ["baseline"]
    mosaic = results.variant("mosaic")  # a stock network all the same
    assert mosaic.is_stock
    assert mosaic.reference == "baseline"
    assert all(variant.confounds == () for variant in results.variants)
    assert results.variant("acmix + cbam").attention == "p3: acmix, p5: cbam"


def test_every_table_has_check_marks_first_and_the_effects(results):
    said = answer(results)
    shown = terminal(results, said, [])
    header = next(line for line in shown.splitlines() if line.startswith("acmix  cbam  mosaic  variant"))
    row = next(line for line in shown.splitlines() if " acmix + cbam " in line and line.startswith(CHECK_MARK))
    assert row.count(CHECK_MARK) == 2
    assert row[header.index("mosaic")] == " "
    assert "| acmix | cbam | mosaic | variant |" in markdown(results, said, [])
    assert "| acmix × cbam | +0.0" in markdown(results, said, [])
    rows = list(csv.DictReader(io.StringIO(comma_separated(results))))
    assert list(rows[0])[:4] == ["with_acmix", "with_cbam", "with_mosaic", "variant"]
    assert [row["with_cbam"] for row in rows] == [str(int("cbam" in row["variant"])) for row in rows]
    effects = list(csv.DictReader(io.StringIO(effects_separated(results.effects))))
    assert [each["verdict"] for each in effects][:3] == ["better", "better", "worse"]
    assert f">{CHECK_MARK}</td>" in document(results)
    assert "acmix & cbam & mosaic & P & R" in latex(results)


def test_the_tables_compile(results, tmp_path):
    if shutil.which("pdflatex") is None:
        pytest.skip("no LaTeX")
    source = "\\documentclass{article}\\usepackage{booktabs,amssymb}\\begin{document}\n%s\\end{document}\n"
    (tmp_path / "table.tex").write_text(source % latex(results))
    made = subprocess.run(
        ["pdflatex", "-halt-on-error", "-interaction=batchmode", "table.tex"], cwd=tmp_path, capture_output=True
    )
    assert made.returncode == 0, (tmp_path / "table.log").read_text()[-2000:]


def test_the_picture_has_a_row_for_every_effect(results):
    picture = draw_effects(results)
    assert picture.pdf.startswith(b"%PDF")
    assert picture.alt.count(";") == 5
    assert "acmix × cbam +0.0" in picture.alt


@pytest.mark.parametrize(
    ("combinations", "seeds", "said"),
    [
        pytest.param(FULL, (0,), "cannot be said: an interval needs two combinations with two seeds each", id="seeds"),
        pytest.param([(), ("acmix",), ("cbam",)], (0, 1), "Whether they help each other cannot be said", id="alone"),
        pytest.param([(), ("acmix", "cbam"), ("acmix", "mosaic")], (0, 1),
                     "cannot be said: no two combinations differ in one alone", id="nothing_alone"),
    ],
)  # fmt: skip
def test_what_a_design_does_not_show_is_not_said(combinations, seeds, said, tmp_path):
    results = study(tmp_path, combinations, WORTH, seeds)
    assert said in answer(results).effect
    terminal(results, answer(results), [])


def test_variants_that_learned_nothing_are_left_out_of_the_effects(tmp_path):
    results = study(tmp_path, worth={**WORTH, ("mosaic",): -0.599}, spread=0.0001)
    pairs = {each.name: each.pairs for each in results.effects.estimates}
    assert (pairs["acmix"], pairs["mosaic"]) == (2, 2)  # of four
    assert any("leave out what learned nothing: mosaic, cbam + mosaic" in note for note in results.notes)


def test_a_grid_without_attention_is_compared_with_its_first_cell(tmp_path):
    runs = []
    for label, lr0, score in (("lr0=0.01", 0.01, 0.5), ("lr0=0.02", 0.02, 0.6)):
        for seed in range(3):
            config = config_of({"name": "baseline"}, seed, optimizer__lr0=lr0)
            entry = {"baseline": "lr0=0.01", "swept": {"optimizer.lr0": lr0}}
            runs.append(run_of(tmp_path, label, config, score + 0.001 * seed**2 * lr0, seed, **entry))
    declare(tmp_path, "made_up", runs)
    results = compare(read_study("made_up", tmp_path), margin=0.005)
    assert [(v.label, v.is_baseline, v.reference) for v in results.variants] == [
        ("lr0=0.01", True, None),
        ("lr0=0.02", False, "lr0=0.01"),
    ]
    assert results.variant("lr0=0.02").confounds == ()
    assert answer(results).effect.startswith("lr0=0.02 makes yolo26n on digits better")


def test_a_baseline_with_attention_is_what_study_json_says(tmp_path):
    runs = []
    for label, attention, score in (("baseline", {"name": "se"}, 0.5), ("simam", {"name": "simam"}, 0.6)):
        for seed in range(3):
            runs.append(run_of(tmp_path, label, config_of(attention, seed), score + 0.001 * seed**2, seed))
    declare(tmp_path, "made_up", runs)
    results = compare(read_study("made_up", tmp_path), margin=0.005)
    assert results.variant("simam").reference == "baseline"
    assert not any("no baseline" in note for note in results.notes)


def test_a_mix_is_called_after_what_stands_where():
    entries = {"p3": [{"name": "acmix"}, {"name": "se"}], "p5": [{"name": "placebo", "matches": "cbam"}]}
    config = config_of({"name": "mix", "grafts": entries}, 0)
    assert attention_name(config) == "p3: acmix + se, p5: placebo of cbam"


def test_a_published_table_has_all_its_columns(tmp_path):
    """Table 6 of doi:10.1038/s41598-025-97842-2: three modules, each alone and all together; R, P and both mAP in %."""
    published = [(), ("acmix",), ("cbam",), ("mosaic",), ("acmix", "cbam", "mosaic")]
    made = study(tmp_path, combinations=published)
    table = latex(made, "[recall_percent,precision_percent,map50_percent,map50_95_percent]")
    header, body = re.search(r"\\toprule\n(.*?)\\\\\n\s*\\midrule\n(.*?)\\bottomrule", table, re.DOTALL).groups()
    assert [title.strip() for title in header.split("&")] == [
        "acmix", "cbam", "mosaic", "variant", "R", "P", r"mAP\textsubscript{50}", r"mAP\textsubscript{50--95}",
    ]  # fmt: skip
    rows = [[cell.strip() for cell in row.split("&")] for row in body.split(r"\\") if row.strip()]
    assert [tuple(name for name, cell in zip(COMPONENTS, row, strict=False) if cell) for row in rows] == published
    assert all(re.match(r"\d\d\.\d", cell) for row in rows for cell in row[4:])
