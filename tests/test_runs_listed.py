"""The entry that lists, shows and removes runs, and the words by which a run is found."""

import io
import json
import subprocess
import sys
from dataclasses import replace

import pytest

from src.runs import Options, runs
from tests.fabricate import config_of, declare, write_run, write_study
from yolo26_attention.config.errors import ConfigError
from yolo26_attention.files.locks import lock_file, run_lock
from yolo26_attention.files.record import Record, TestScore
from yolo26_attention.reporting.comparison import compare
from yolo26_attention.reporting.study import read_study
from yolo26_attention.reporting.tables import comma_separated
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
        pytest.param({"show": "a", "remove": "b"}, "show=a and remove=b: give one of them", id="two_wishes"),
        pytest.param({"copy": "x"}, "copy=x: of which study", id="copy_of_no_study"),
        pytest.param(
            {"copy": "x", "study": "other"},
            "study=other: no run of it has finished in .*; python -m src.runs lists the runs",
            id="copy_of_nothing",
        ),
        *(
            pytest.param(
                {**given, "yes": "remove" in given}, f"{useless} no effect on {wish}; leave", id=f"{wish} {useless}"
            )
            for given, useless, wish in (
                (
                    {"remove": "acmix-12-s0", "study": "other", "status": "failed"},
                    "study=other and status=failed have",
                    "remove=acmix-12-s0",
                ),
                ({"remove": "failed", "status": "finished"}, "status=finished has", "remove=failed"),
                ({"show": "se-12-s0", "study": "made_up"}, "study=made_up has", "show=se-12-s0"),
                ({"show": "best", "study": "made_up", "status": "failed"}, "status=failed has", "show=best"),
                ({"copy": "x", "study": "made_up", "status": "failed"}, "status=failed has", "copy=x"),
            )
        ),
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


def test_a_copied_study_gives_the_same_report_without_checkpoints(tmp_path):
    here, there = tmp_path / "outputs", tmp_path / "results"
    here.mkdir()
    write_study(here, {"baseline": (BASELINE, 0.5), "acmix": (ACMIX, 0.6)}, matches=True)
    for folder in (here / "runs").iterdir():
        (folder / "train" / "weights").mkdir(parents=True, exist_ok=True)
        (folder / "train" / "weights" / "best.pt").write_bytes(bytes(10**5))
    said = ask(here, copy=str(there), study="made_up")
    assert said.endswith(f"see: python -m src.report made_up output_dir={there}")
    assert not list(there.rglob("*.pt"))
    assert {file.name for file in there.rglob("runs/*/*")} >= {"record.json", "journal.jsonl", "matches.npz"}
    tables = [comma_separated(compare(read_study("made_up", folder), margin=0.005)) for folder in (here, there)]
    assert tables[0] == tables[1]


def test_copied_files_name_no_folder_of_the_machine(tmp_path):
    here, there = tmp_path / "outputs", tmp_path / "results"
    here.mkdir()
    folder = write_run(here, config_of(BASELINE, 0), 0.5, tracking="/home/me/outputs/wandb/offline-run-1")
    (folder / "config.yaml").write_text("source: /home/me/my data/cells\nscale: 1/2\n")
    command = "python -m src.sweep made_up data.source=/home/me/cells seed=0"
    declare(here, "made_up", [{"run": folder.name, "variant": "a", "seed": 0, "overrides": ["data.source=/a b/cells"]}])
    (study := here / "studies/made_up/study.json").write_text(
        json.dumps(json.loads(study.read_text()) | {"command": command})
    )
    ask(here, copy=str(there), study="made_up")
    assert Record.read(there / "runs" / folder.name).tracking == "offline-run-1"
    copied = json.loads((there / "studies/made_up/study.json").read_text())
    assert copied["command"] == "python -m src.sweep made_up data.source=cells seed=0"
    assert copied["runs"][0]["overrides"] == ["data.source=cells"]
    assert (there / "runs" / folder.name / "config.yaml").read_text() == "source: cells\nscale: 1/2\n"


def test_a_study_is_not_copied_onto_itself(outputs):
    with pytest.raises(ConfigError, match="this is output_dir itself; give another folder"):
        ask(outputs, copy=str(outputs), study="made_up")


def test_of_a_run_with_a_test_score_the_matches_of_the_test_images_are_copied(outputs, tmp_path):
    folder = next(run.folder for run in list_runs(outputs, "made_up") if run.name == "acmix-12-s0")
    record = replace(Record.read(folder), test=TestScore({}, {}, {}, 1, ""))
    record.write(folder)
    for name in ("matches.npz", "matches_test.npz"):
        (folder / name).write_bytes(b"")
    ask(outputs, copy=str(tmp_path / "results"), study="made_up")
    assert {file.name for file in (tmp_path / "results/runs/acmix-12-s0").iterdir()} >= {"matches_test.npz"}
    assert not (tmp_path / "results/runs/acmix-12-s0/matches.npz").exists()
