"""`yolo26_attention.Study`: the same runs, numbers and figures as the report's, as frames and figures."""

import builtins
import math
import subprocess
import sys
from pathlib import Path

import pandas
import pytest
from matplotlib.figure import Figure

from tests.fabricate import config_of, declare, write_run, write_study
from yolo26_attention import Study
from yolo26_attention.reporting.comparison import compare
from yolo26_attention.reporting.study import StudyError, read_study
from yolo26_attention.reporting.tables import comma_separated

VARIANTS = {
    "baseline": ({"name": "baseline"}, 0.5),
    "acmix": ({"name": "acmix", "kernel_att": 7}, 0.6),
}


@pytest.fixture
def outputs(tmp_path):
    write_study(tmp_path, VARIANTS, seeds=range(3), study="made_up")
    return tmp_path


def test_the_frame_has_a_row_for_each_run(outputs):
    study = Study("made_up", outputs, resamples=0)
    frame = study.frame()
    assert isinstance(frame, pandas.DataFrame)
    assert len(frame) == 6
    assert set(frame["seed"]) == {0, 1, 2}
    assert set(frame["status"]) == {"finished"}
    record = next(run.record for run in study.results.study.runs if run.name == frame["run"][0])
    assert frame["map50_95"][0] == record.metrics["map50_95"]
    assert frame["parameters"][0] == record.model.parameters
    assert frame["latency_ratio"][0] == record.latency.ratio_to_stock
    assert frame["p50_ms"].notna().all()
    assert frame["counts"].all()


def test_a_run_that_failed_has_a_row_and_its_reason(outputs):
    write_run(outputs, config_of({"name": "se"}, 0), status="failed", error="no memory")
    frame = Study("made_up", outputs, resamples=0).frame()
    (failed,) = frame[frame["status"] == "failed"].to_dict("records")
    assert failed["problem"] == "no memory"
    assert math.isnan(failed["map50_95"])
    assert not failed["counts"]


def test_the_comparison_is_that_of_the_report(outputs):
    frame = Study("made_up", outputs, resamples=0).comparison()
    written = comma_separated(compare(read_study("made_up", outputs)))
    assert list(frame.columns) == written.splitlines()[0].split(",")
    assert len(frame) == 2
    assert list(Study("made_up", outputs, resamples=0).comparison("[map50]").columns)[:2] == ["variant", "map50"]


def test_the_answer_and_the_text(outputs):
    study = Study("made_up", outputs, margin=0.01, resamples=0)
    assert study.results.margin == 0.01
    assert study.answer.effect in str(study)
    assert repr(study) == "Study('made_up', 6 runs)"


def test_figures_are_figures_of_matplotlib(outputs):
    figures = Study("made_up", outputs, resamples=0).figures()
    assert {"differences", "trade_off", "sizes"} <= set(figures)
    assert all(isinstance(figure, Figure) for figure in figures.values())
    assert figures["differences"].axes[0].get_xlabel().startswith("difference of")


def test_no_file_is_made_for_figures_of_a_notebook(outputs, monkeypatch):
    monkeypatch.delattr(Figure, "savefig")
    assert Study("made_up", outputs, resamples=0).figures()


@pytest.mark.parametrize("as_text", [True, False], ids=["str", "Path"])
def test_a_study_is_found_by_its_folder(outputs, as_text, monkeypatch):
    runs = [{"run": path.name, "variant": path.name, "seed": 0} for path in (outputs / "runs").iterdir()]
    declare(outputs, "made_up", runs)
    folder = outputs / "studies" / "made_up"
    assert len(Study(str(folder) if as_text else folder, resamples=0).frame()) == 6
    monkeypatch.chdir(outputs.parent)
    assert Study(Path(outputs.name, "studies", "made_up"), resamples=0).name == "made_up"


def test_a_study_is_found_by_its_file(outputs, tmp_path):
    (tmp_path / "made_up.yaml").write_text("question: Anything?\n")
    assert Study(tmp_path / "made_up.yaml", outputs, resamples=0).name == "made_up"


def test_a_folder_beside_a_name_does_not_hide_it(outputs, monkeypatch):
    monkeypatch.chdir(outputs)
    (outputs / "made_up").mkdir()
    assert Study("made_up", outputs, resamples=0).name == "made_up"


def test_another_folder_is_refused(outputs):
    with pytest.raises(StudyError, match=r"study=.*runs: this folder is not of a study; give outputs/studies/NAME"):
        Study(outputs / "runs", resamples=0)


def test_without_pandas_the_message_says_what_to_install(outputs, monkeypatch):
    study = Study("made_up", outputs, resamples=0)
    importing = builtins.__import__

    def refuse(name, *rest):
        if name == "pandas":
            raise ModuleNotFoundError("No module named 'pandas'", name="pandas")
        return importing(name, *rest)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(ModuleNotFoundError, match=r"pip install -e '\.\[notebook\]'"):
        study.frame()


def test_importing_the_package_imports_neither_torch_nor_pandas():
    program = (
        "import sys, yolo26_attention; loaded = {'torch', 'pandas', 'matplotlib', 'ultralytics'} & set(sys.modules); "
        "assert not loaded, loaded; from yolo26_attention import Study; "
        "loaded = {'torch', 'pandas', 'ultralytics'} & set(sys.modules); assert not loaded, loaded"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
