"""The entry: every file of a report, whatever state the study is in."""

import html
import json
import re
import subprocess
import sys

import pytest

from src.report import Options, report
from tests.fabricate import config_of, declare, write_run, write_study
from yolo26_attention.config.errors import ConfigError

BASELINE, ACMIX = {"name": "baseline"}, {"name": "acmix", "kernel_att": 7}
FILES = {"report.md", "table.csv", "table.tex", "table.html", "index.html", "figures"}


def finished(output_dir):
    write_study(output_dir, {"baseline": (BASELINE, 0.5), "acmix": (ACMIX, 0.6)})


def no_baseline(output_dir):
    write_study(output_dir, {"acmix": (ACMIX, 0.6)})


def one_seed(output_dir):
    write_study(output_dir, {"baseline": (BASELINE, 0.5), "acmix": (ACMIX, 0.6)}, (0,))


def unequal_seeds(output_dir):
    write_study(output_dir, {"baseline": (BASELINE, 0.5)}, (0, 1))
    write_study(output_dir, {"acmix": (ACMIX, 0.6)}, (1, 2))


def equal_results(output_dir):
    write_study(output_dir, {"baseline": (BASELINE, 0.5), "acmix": (ACMIX, 0.5)}, spread=0.0)


def nothing_finished(output_dir):
    write_run(output_dir, config_of(BASELINE, 0), None, status="failed", error="OSError: full")
    write_run(output_dir, config_of(ACMIX, 0), float("nan"))
    write_run(output_dir, config_of(ACMIX, 1), None, status="running")


def nothing_begun(output_dir):
    runs = [{"run": name, "variant": name, "seed": 0, "overrides": ["attention=x"]} for name in ("baseline", "acmix")]
    declare(output_dir, "made_up", runs)


@pytest.mark.parametrize(
    ("write", "said"),
    [
        pytest.param(finished, "3 seeds", id="finished"),
        pytest.param(no_baseline, "no baseline has finished", id="no_baseline"),
        pytest.param(one_seed, "1 seed, no interval over seeds", id="one_seed"),
        pytest.param(unequal_seeds, "2 seeds", id="unequal_seeds"),
        pytest.param(equal_results, "no interval over seeds", id="equal_results"),
        pytest.param(nothing_finished, "(1 not a number, 1 interrupted, 1 failed)", id="nothing_finished"),
        pytest.param(nothing_begun, "no run has a result (2 pending)", id="nothing_begun"),
    ],
)  # fmt: skip
def test_report_of_any_study(write, said, tmp_path):
    write(tmp_path)
    text = report(Options("made_up", str(tmp_path)))
    assert said in text
    folder = tmp_path / "studies" / "made_up" / "report"
    assert {path.name for path in folder.iterdir()} == FILES
    page = (folder / "index.html").read_text()
    assert not re.search(r"\bnan\b(?! *</td>)", re.sub(r"base64,[^\"]*|not a number|mAP50-95 nan", "", page))
    linked = set(re.findall(r"\]\(figures/([^)]+)\)", (folder / "report.md").read_text()))
    assert linked == {path.name for path in (folder / "figures").iterdir()}


def test_an_unknown_column_is_refused_before_anything_is_written(tmp_path):
    finished(tmp_path)
    with pytest.raises(ConfigError, match="columns=map5: there is no column map5; did you mean map50"):
        report(Options("made_up", str(tmp_path), columns="map5"))
    assert not (tmp_path / "studies").exists()


def test_sites_without_looks_are_refused(tmp_path):
    finished(tmp_path)
    with pytest.raises(ConfigError, match=r"sites=\[p3\] has no effect with looks=false; leave one of them out"):
        report(Options("made_up", str(tmp_path), sites="[p3]", looks=False))


def test_sites_without_a_checkpoint_are_told(tmp_path, caplog):
    finished(tmp_path)
    report(Options("made_up", str(tmp_path), sites="[p3]", resamples=0))
    assert "the heatmaps are not drawn: no run of the study has a checkpoint here" in caplog.text


def test_the_command_on_the_page_has_every_option_that_was_given(tmp_path):
    folder = tmp_path / "out puts"
    finished(folder)
    report(Options("made_up", str(folder), margin=0.01, resamples=0, looks=False))
    text = html.unescape((folder / "studies" / "made_up" / "report" / "index.html").read_text())
    assert f"python -m src.report made_up 'output_dir={folder}' margin=0.01 resamples=0 looks=false" in text


def test_effects_of_an_earlier_report_do_not_stay(tmp_path):
    finished(tmp_path)
    old = tmp_path / "studies" / "made_up" / "report" / "effects.csv"
    old.parent.mkdir(parents=True)
    old.write_text("component\n")
    report(Options("made_up", str(tmp_path), resamples=0))
    assert not old.exists()


def test_pictures_of_an_earlier_report_do_not_stay(tmp_path):
    finished(tmp_path)
    report(Options("made_up", str(tmp_path)))
    stale = tmp_path / "studies" / "made_up" / "report" / "figures" / "swept_gone.svg"
    stale.write_text("")
    report(Options("made_up", str(tmp_path)))
    assert not stale.exists()


def test_commands_make_each_line_again(tmp_path):
    finished(tmp_path)
    runs = [{"run": "absent", "variant": "x", "seed": 4, "overrides": ["attention=acmix", "placement.sites=[p3]"]}]
    declare(tmp_path, "other", runs)
    report(Options("made_up", str(tmp_path)))
    report(Options("other", str(tmp_path)))
    found = (tmp_path / "studies" / "made_up" / "report" / "index.html").read_text()
    assert f"python -m src.train -cp {tmp_path}/runs/acmix-kernel_att7-12-s0 -cn config force=true" in found
    declared = (tmp_path / "studies" / "other" / "report" / "index.html").read_text()
    assert "python -m src.train attention=acmix &#39;placement.sites=[p3]&#39; force=true" in declared


def test_report_is_logged_as_an_artifact_of_the_study(tmp_path):
    finished(tmp_path)
    for path in tmp_path.glob("runs/*/record.json"):
        record = json.loads(path.read_text())
        record["config"]["tracking"]["mode"] = "offline"
        path.write_text(json.dumps(record))
    text = report(Options("made_up", str(tmp_path)))
    folder = re.search(r"wandb sync (\S+)", text)[1]
    command = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", folder]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert '"made_up"' in lines
    (artifact,) = [json.loads(line) for line in lines.splitlines() if json.loads(line)["type"] == "artifact"]
    assert "report-made_up" in json.dumps(artifact)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(["made_up", "margn=1"], "margn=1: no such option; did you mean margin=?", id="misspelt"),
        pytest.param(["made_up", "margin=x"], "margin=x is not a number; the default is the study's", id="no_number"),
        pytest.param(["made_up", "margin=0"], "margin=0 is below", id="too_small"),
        pytest.param(["made_up", "looks=all"], "looks=all is not true or false", id="no_boolean"),
        pytest.param([], "STUDY is missing", id="no_name"),
        pytest.param(["made_up", "tracking=on"], "tracking=on: try as_runs, disabled", id="unknown_choice"),
        pytest.param(["absent"], "study=absent: there is no run in outputs/runs", id="no_study"),
    ],
)
def test_bad_arguments_name_the_way_out(arguments, message, tmp_path, monkeypatch, capsys):
    from src import report as entry

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["report", *arguments])
    with pytest.raises(SystemExit) as stopped:
        entry.main()
    assert message in capsys.readouterr().err + str(stopped.value)


def test_reading_records_needs_no_torch(tmp_path):
    finished(tmp_path)
    code = (
        "import sys; from src.report import Options, report; "
        f"report(Options('made_up', {str(tmp_path)!r})); print({{'torch', 'ultralytics', 'hydra'}} & set(sys.modules))"
    )
    command = [sys.executable, "-c", code]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() == "set()"
