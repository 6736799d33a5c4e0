"""Several studies side by side: where a variant helps, and whether any helps in all of them."""

import re
import shutil
from dataclasses import replace

import pytest

from src.report import Options, report_several
from tests.fabricate import config_of, declare, write_run
from yolo26_attention.config.errors import ConfigError
from yolo26_attention.config.key_value import read_options
from yolo26_attention.files.record import Record
from yolo26_attention.reporting.comparison import compare
from yolo26_attention.reporting.several import join_studies, terminal
from yolo26_attention.reporting.study import read_study

SHIFTS = {
    "first": {"acmix": 0.10, "se": 0.10, "cbam": -0.1, "only": 0.1},
    "second": {"acmix": 0.10, "se": 0.0005, "cbam": -0.1, "other": 0.1},
}


@pytest.fixture
def output_dir(tmp_path):
    """Two studies: ACmix helps in both, SE in the first one, CBAM hurts in both, and each has one of its own."""
    for study, shifts in SHIFTS.items():
        runs = []
        for variant, shift in {"baseline": 0.0, **shifts}.items():
            for seed in range(4):
                config = config_of({"name": variant, "of": study}, seed, study=study)
                folder = write_run(tmp_path, config, 0.5 + shift + 0.001 * ((7 * seed + len(variant)) % 4))
                runs.append({"run": folder.name, "variant": variant, "seed": seed, "baseline": "baseline"})
        declare(tmp_path, study, runs, question=f"What about {study}?")
    return tmp_path


def test_it_says_where_each_variant_helps_and_what_helps_everywhere(output_dir):
    several = join_studies([compare(read_study(name, output_dir)) for name in SHIFTS])
    assert [row.label for row in several.rows] == ["acmix", "se", "cbam"]
    *each, last = several.answer
    assert each[0].startswith("acmix helps on first (+0.100")
    assert " and helps on second (+0.100" in each[0]
    assert "makes no difference larger than the margin on second" in each[1]
    assert last == "acmix helps in both studies; cbam hurts in both studies."
    shown = terminal(several)
    assert "note: in one study only: only, other" in shown
    assert "note: first: mAP50-95 on the validation images, margin 0.005" in shown


def write_labelled(output_dir, study, variants):
    """A study of variants by label, each with its attention and how much it differs from the baseline."""
    runs = []
    for label, (attention, shift) in {"baseline": ({"name": "baseline"}, 0.0), **variants}.items():
        for seed in range(4):
            config = config_of(attention, seed, study=study, data__imgsz=160 if study == "one" else 320)
            folder = write_run(output_dir / study, config, 0.5 + shift + 0.001 * ((7 * seed + len(label)) % 4))
            folder = folder.rename(output_dir / "runs" / f"{study}-{folder.name}")
            runs.append({"run": folder.name, "variant": label, "seed": seed, "baseline": "baseline"})
    declare(output_dir, study, runs)


@pytest.mark.parametrize(
    ("second", "rows"),
    [
        pytest.param({"acmix": ({"name": "acmix", "kernel_att": 7}, 0.1)}, ["acmix kernel_att=7"], id="another_label"),
        pytest.param({"acmix": ({"name": "acmix"}, 0.1)}, ["acmix kernel_att=7"], id="a_default"),
        pytest.param({"acmix": ({"name": "acmix", "kernel_att": 5}, 0.1)}, [], id="other_options"),
        pytest.param(
            {"a": ({"name": "acmix"}, 0.1), "b": ({"name": "acmix", "kernel_att": 7}, 0.1)}, [], id="two_of_them"
        ),
        pytest.param(
            {"acmix": ({"name": "acmix"}, 0.1), "acmix kernel_att=7": ({"name": "se"}, 0.1)},
            ["acmix kernel_att=7"],
            id="label_first",
        ),
    ],
)
def test_the_same_attention_under_another_label_is_the_same_variant(second, rows, tmp_path):
    (tmp_path / "runs").mkdir()
    first = {f"acmix kernel_att={size}": ({"name": "acmix", "kernel_att": size}, 0.1) for size in (3, 7)}
    write_labelled(tmp_path, "one", first)
    write_labelled(tmp_path, "two", second)
    several = join_studies([compare(read_study(name, tmp_path)) for name in ("one", "two")])
    assert [row.label for row in several.rows] == rows
    renamed = "acmix kernel_att=7 is called acmix in two" in several.notes
    assert renamed == (rows != [] and "acmix kernel_att=7" not in second)


def test_a_variant_is_weighed_against_its_placebo_in_each_study(tmp_path):
    (tmp_path / "runs").mkdir()
    for study, shift in (("one", 0.1), ("two", 0.2)):
        write_labelled(tmp_path, study, {"acmix": ({"name": "acmix"}, 0.1), "placebo": ({"name": "placebo"}, shift)})
    several = join_studies([compare(read_study(name, tmp_path)) for name in ("one", "two")])
    assert len(several.answer) == 4
    assert re.fullmatch(
        r"Beside its placebo, acmix .* on one \([+−]0\.00\d, .*\) and is worse on two \(−0\.\d{3}, .*\)\.",
        several.answer[2],
    )


def test_it_says_so_if_nothing_helps_everywhere(output_dir):
    several = join_studies([compare(read_study(name, output_dir), margin=0.2) for name in SHIFTS])
    assert several.answer[-1] == (
        "Nothing helps in both studies; acmix, se and cbam make no difference larger than the margin in both studies."
    )


def test_notes_on_what_is_shown_come_with_it(output_dir):
    copied, other, *_ = sorted(output_dir.glob("runs/acmix-offirst-*"))
    record = Record.read(other)
    shutil.copy(copied / "record.json", other / "record.json")
    replace(Record.read(other), seed=record.seed, run_id=record.run_id).write(other)
    for path in output_dir.glob("runs/cbam-ofsecond-*"):
        record = Record.read(path)
        record.config["trainer"]["batch"] = 4
        record.write(path)
    notes = join_studies([compare(read_study(name, output_dir)) for name in SHIFTS]).notes
    assert any(note.startswith("second: cbam differs from baseline beside the attention also in") for note in notes)
    assert any(note.startswith(f"first: not in the comparison (copy): {other.name}: ") for note in notes)


def test_the_command_writes_markdown_and_a_page_with_links_to_the_studies(output_dir):
    own = output_dir / "studies" / "first" / "report"
    own.mkdir()
    (own / "index.html").write_text("first")
    options = read_options(Options, ["first", "second", f"output_dir={output_dir}"])
    assert (options.study, options.beside) == ("first", ["second"])
    assert "acmix helps on first" in report_several(options)
    folder = output_dir / "studies" / "first+second"
    assert "| acmix | +0.1000 " in (folder / "report.md").read_text()
    html = (folder / "index.html").read_text()
    assert '<a href="../first/report/index.html">first</a>' in html
    assert "<strong>second</strong>" in html
    assert "What about second?" in html


def test_studies_without_a_common_variant_say_so(output_dir):
    runs = [compare(read_study(name, output_dir)) for name in SHIFTS]
    shared = join_studies([runs[0], runs[0]])
    assert len(shared.rows) == 4
    for name, label in (("third", "gc"), ("fourth", "eca")):
        entries = []
        for variant in ("baseline", label):
            config = config_of({"name": variant, "of": name}, 0, study=name)
            folder = write_run(output_dir, config, 0.5)
            entries.append({"run": folder.name, "variant": variant, "seed": 0, "baseline": "baseline"})
        declare(output_dir, name, entries)
    several = join_studies([compare(read_study(name, output_dir)) for name in ("third", "fourth")])
    assert several.answer == ["No variant is in two of these studies, so nothing can be compared."]


@pytest.mark.parametrize(
    "given", ["resamples=5", "columns=paper", "looks=false", "variant=acmix", "sites='[p3]'", "tracking=disabled"]
)
def test_what_has_no_effect_on_several_studies_is_refused(given, output_dir):
    options = read_options(Options, ["first", "second", given.replace("'", ""), f"output_dir={output_dir}"])
    with pytest.raises(
        ConfigError, match=rf"^{re.escape(given)} has no effect on the report of several studies; leave"
    ):
        report_several(options)


def test_all_that_has_no_effect_is_named_at_once(output_dir):
    options = Options("first", str(output_dir), columns="paper", looks=False, beside=["second"])
    with pytest.raises(ConfigError, match=r"^columns=paper, looks=false have no effect .*; leave them out"):
        report_several(options)


def test_a_study_given_twice_is_refused(output_dir):
    with pytest.raises(ConfigError, match="first first: a study is given twice; give each once"):
        report_several(Options("first", str(output_dir), beside=["first"]))
