"""The entry that lists, shows and removes runs, and the words by which a run is found."""

import io
import subprocess
import sys

import pytest

from src.runs import Options, runs
from tests.fabricate import config_of, declare, write_run
from yolo26_attention.config.errors import ConfigError
from yolo26_attention.files.locks import lock_file, run_lock
from yolo26_attention.study.inventory import list_runs, resolve_run

BASELINE, ACMIX, SE = {"name": "baseline"}, {"name": "acmix"}, {"name": "se"}


@pytest.fixture
def outputs(tmp_path):
    """Two studies: three finished runs of one, a failed run of the other."""
    folders = [
        write_run(tmp_path, config_of(BASELINE, 0), 0.5),
        write_run(tmp_path, config_of(ACMIX, 0), 0.6),
        write_run(tmp_path, config_of(ACMIX, 1), 0.7),
    ]
    labels = ("baseline", "acmix", "acmix")
    entries = [{"run": f.name, "variant": label, "seed": 0} for f, label in zip(folders, labels, strict=True)]
    declare(tmp_path, "made_up", entries)
    write_run(tmp_path, config_of(SE, 0, study="other"), None, status="failed", error="OSError: full")
    return tmp_path


def ask(outputs, **options):
    return runs(Options(output_dir=str(outputs), **options))


def test_the_list_has_every_run_with_its_score(outputs):
    lines = ask(outputs).splitlines()
    assert lines[0].split() == ["run", "study", "status", "mAP50-95", "age", "size"]
    assert sum("0.7000" in line and "acmix-12-s1" in line for line in lines) == 1
    assert any(line.split()[:3] == ["se-12-s0", "other", "failed"] for line in lines)
    assert lines[-1].startswith("4 runs, ")


def test_a_study_is_named_by_the_path_of_its_file_too(outputs):
    path = outputs / "made_up.yaml"
    path.write_text("question: What?\n")
    assert ask(outputs, study=str(path)) == ask(outputs, study="made_up")
    assert resolve_run(f"{path}/acmix", outputs) == resolve_run("made_up/acmix", outputs)
    assert resolve_run("best", outputs, str(path)) == resolve_run("best", outputs, "made_up")
    with pytest.raises(
        ConfigError, match=r"no_such\.yaml: there is no such file; give its path, or the study's name: no_such"
    ):
        ask(outputs, study="no_such.yaml")


@pytest.mark.parametrize(
    ("options", "names"),
    [
        pytest.param({"study": "other"}, {"se-12-s0"}, id="study"),
        pytest.param({"status": "failed"}, {"se-12-s0"}, id="status"),
        pytest.param({"study": "made_up", "status": "failed"}, set(), id="both"),
    ],
)
def test_filters(options, names, outputs):
    assert {run.name for run in list_runs(outputs, **options)} == names
    assert ("no runs in" in ask(outputs, **options)) == (not names)


def test_a_study_lists_runs_that_another_study_trained(outputs):
    declare(outputs, "shared", [{"run": "acmix-12-s0", "variant": "acmix", "seed": 0}])
    assert [run.name for run in list_runs(outputs, "shared")] == ["acmix-12-s0"]


@pytest.mark.parametrize(
    ("run", "study", "name"),
    [
        pytest.param("acmix-12-s0", None, "acmix-12-s0", id="name"),
        pytest.param("12-s1", None, "acmix-12-s1", id="hash"),
        pytest.param("made_up/acmix", None, "acmix-12-s1", id="variant"),
        pytest.param("made_up/baseline", None, "baseline-12-s0", id="baseline"),
        pytest.param("best", "made_up", "acmix-12-s1", id="best"),
    ],
)
def test_a_run_is_found_by_any_of_its_names(run, study, name, outputs):
    assert resolve_run(run, outputs, study).name == name


@pytest.mark.parametrize(
    ("run", "study", "message"),
    [
        pytest.param("nosuch", None, "run=nosuch: no such run in .*; it has acmix-12-s0", id="name"),
        pytest.param("made_up/se", None, "study made_up has no variant se; it has baseline, acmix", id="variant"),
        pytest.param("nosuch/se", None, "run=nosuch/se: no such run", id="study_of_a_variant"),
        pytest.param("best", None, "run=best: of which study", id="no_study"),
        pytest.param("best", "other", "none of its runs has finished", id="nothing_finished"),
        pytest.param("se", "other", "study=other has no effect on run=se", id="no_effect"),
    ],
)
def test_what_is_not_there_is_refused(run, study, message, outputs):
    with pytest.raises(ConfigError, match=message):
        resolve_run(run, outputs, study)


def test_show_has_the_results_or_the_error(outputs):
    assert "mAP50-95" in ask(outputs, show="made_up/acmix")
    assert "OSError: full" in ask(outputs, show="se-12-s0")


def test_all_failed_runs_are_removed_and_no_other(outputs):
    assert ask(outputs, remove="failed", yes=True).startswith("removed 1 run, ")
    assert {run.name for run in list_runs(outputs)} == {"baseline-12-s0", "acmix-12-s0", "acmix-12-s1"}
    assert ask(outputs, remove="failed", yes=True) == "no run failed"


@pytest.mark.parametrize(("answer", "left"), [("y\n", 3), ("\n", 4), ("no\n", 4)])
def test_removing_asks_first(answer, left, outputs, monkeypatch):
    terminal = io.StringIO(answer)
    terminal.isatty = lambda: True
    monkeypatch.setattr(sys, "stdin", terminal)
    ask(outputs, remove="acmix-12-s0")
    assert len(list_runs(outputs)) == left


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param({"remove": "failed"}, "nobody can answer here; confirm with yes=true", id="no_terminal"),
        pytest.param({"status": "nosuch"}, "status=nosuch: there is no such state; choose finished", id="status"),
        pytest.param({"show": "a", "remove": "b"}, "give one of the two", id="two_wishes"),
        pytest.param({"yes": True}, "yes=true has no effect without remove=", id="yes"),
    ],
)
def test_bad_options_name_the_way_out(options, message, outputs, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    with pytest.raises(ConfigError, match=message):
        ask(outputs, **options)
    assert len(list_runs(outputs)) == 4


def test_a_run_in_progress_is_not_removed(outputs):
    with run_lock(lock_file(outputs, "acmix-12-s0")), pytest.raises(ConfigError, match="remove=acmix-12-s0: "):
        ask(outputs, remove="acmix-12-s0", yes=True)
    assert (outputs / "runs" / "acmix-12-s0").exists()


def test_a_run_elsewhere_is_not_removed(outputs, tmp_path_factory):
    elsewhere = write_run(tmp_path_factory.mktemp("elsewhere"), config_of(BASELINE, 0), 0.5)
    with pytest.raises(ConfigError, match="it is not in"):
        ask(outputs / "nowhere", remove=str(elsewhere), yes=True)
    assert elsewhere.exists()


def test_the_command_needs_no_torch_and_no_name(outputs):
    code = (
        f"import sys; sys.argv = ['runs', 'output_dir={outputs}']; from src.runs import main; main(); "
        "print({'torch', 'ultralytics', 'hydra'} & set(sys.modules))"
    )
    text = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert text.strip().endswith("set()")
    assert "4 runs" in text


def test_an_interrupted_run_is_shown_with_the_command_that_continues_it(outputs):
    error = "Traceback (most recent call last):\n  File x\nKeyboardInterrupt: SIGINT"
    folder = write_run(outputs, config_of(BASELINE, 7), None, status="interrupted", error=error)
    (folder / "config.yaml").write_text("pause: null\n")
    said = ask(outputs, show=folder.name)
    assert "Traceback" not in said
    assert "ended with  KeyboardInterrupt: SIGINT" in said
    assert f"continue    python -m src.train -cp {folder} -cn config" in said
    (folder / "config.yaml").unlink()  # as in a copy of the records
    assert "continue    with the command that started it" in ask(outputs, show=folder.name)


def test_a_run_of_ones_own_module_is_continued_with_its_folder(outputs):
    own = config_of({"name": "damped", "source": "ab12"}, 0)
    folder = write_run(outputs, {**own, "pause": 3}, None, status="interrupted")
    (folder / "config.yaml").write_text("pause: 3\n")
    assert "-cn config -cd DIR pause=null  (DIR: the folder of your own code)" in ask(outputs, show=folder.name)


def test_a_run_that_is_trained_is_shown_with_its_process(outputs):
    folder = write_run(outputs, config_of(BASELINE, 7), None, status="running")
    assert "status    interrupted" in ask(outputs, show=folder.name)  # killed
    with run_lock(lock_file(outputs, folder.name)):
        said = ask(outputs, show=folder.name)
    assert "status      running" in said
    assert "trained by  pid " in said
    assert "continue" not in said


def test_a_failed_run_is_shown_with_its_traceback_and_what_tries_again(outputs):
    folder = write_run(outputs, config_of(BASELINE, 7), None, status="failed", error="Traceback:\n  x\nOSError: full")
    (folder / "config.yaml").write_text("seed: 7\n")
    said = ask(outputs, show=folder.name)
    assert "ended with  OSError: full" in said
    assert f"try again   python -m src.train -cp {folder} -cn config" in said
    assert said.endswith("\n\nTraceback:\n  x\nOSError: full")
