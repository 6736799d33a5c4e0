"""What W&B's server gets of one run with tracking=online, and what the run does when the server does not play along."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from yolo26_attention.config.schema import TrackingConfig, TrackingMode
from yolo26_attention.files.journal import Entry, Kind
from yolo26_attention.files.record import Record
from yolo26_attention.run.wandb_run import TrackingUnavailableError, open_tracker

OPTIONS = TrackingConfig(mode=TrackingMode.online, project="tests", tags=["mine"])
KILLED = """
import sys, time
from pathlib import Path
from tests.wandb_server.test_online_tracking import epochs, opened

with opened(Path(sys.argv[1])) as tracker:
    tracker.follow(epochs(3))
    print("logged", flush=True)
    time.sleep(600)
"""


def epochs(number):
    return [
        Entry(Kind.EPOCH, details={"epoch": epoch, "values": {"loss(B)": 1 / epoch}, "scalars": {"p3/rate1": 0.5}})
        for epoch in range(1, number + 1)
    ]


def opened(folder, **changes):
    given = {"run_id": "abc-1", "name": "acmix-p3", "group": "study-1", "tags": ["acmix"], "config": {"seed": 3}}
    return open_tracker(OPTIONS, **{**given, **changes}, folder=folder)


def wait_for(condition, seconds=60.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_run_arrives_with_its_epochs_and_results(server, tmp_path):
    record = Record("abc", "acmix-p3", "study-1", 3, {}, metrics={"map50_95": 0.25}, seconds=7.0)
    with opened(tmp_path) as tracker:
        tracker.follow(epochs(2))
        tracker.follow(epochs(3))
        tracker.finish(record, tmp_path)
    run = server.kept.run
    assert (run.id, run.about["displayName"], run.about["groupName"]) == ("abc-1", "acmix-p3", "study-1")
    assert (run.about["project"], run.about["entity"], run.about["tags"]) == ("tests", "somebody", ["acmix", "mine"])
    assert run.config["seed"] == 3
    assert [(row["_step"], row["epoch"], row["loss"], row["attention/p3/rate1"]) for row in run.history] == [
        (1, 1, 1.0, 0.5),
        (2, 2, 0.5, 0.5),
        (3, 3, 1 / 3, 0.5),
    ]
    assert (run.summary["map50_95"], run.summary["seconds"], run.summary["run_id"]) == (0.25, 7.0, "abc")
    assert run.exit_code == 0
    assert "git" not in run.config
    assert {"config.yaml", "wandb-summary.json", "wandb-metadata.json"} <= set(run.files)


@pytest.mark.slow  # W&B's client sends a run's lines every 15 s
def test_an_epoch_arrives_before_the_next_one_is_logged(server, tmp_path):
    with opened(tmp_path) as tracker:
        tracker.follow(epochs(1))
        wait_for(lambda: server.kept.run.epochs == [1])


def test_an_exception_ends_the_run_as_failed(server, tmp_path):
    with pytest.raises(OSError, match="disk"), opened(tmp_path):
        raise OSError("disk full")
    assert server.kept.run.exit_code == 1


def test_weights_and_reports_arrive_and_no_copy_of_them_stays(server, tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("WANDB_CACHE_DIR", str(tmp_path / "cache"))
    (tmp_path / "best.pt").write_bytes(b"weights")
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "index.html").write_bytes(b"page")
    with opened(tmp_path / "w") as tracker:
        tracker.upload(tmp_path / "best.pt", "acmix/k=7")
        tracker.upload(tmp_path / "report", "report-s", "report")
    kept = [
        (artifact["artifactCollectionName"], artifact["artifactTypeName"], artifact["state"], artifact["files"])
        for artifact in server.kept.artifacts.values()
    ]
    for *_, files in kept:
        assert files.pop("wandb_manifest.json")
    assert kept == [
        ("acmix_k_7", "model", "COMMITTED", {"best.pt": b"weights"}),
        ("report-s", "report", "COMMITTED", {"index.html": b"page"}),
    ]
    assert [path for path in tmp_path.rglob("*") if path.is_file() and path.read_bytes() == b"weights"] == [
        tmp_path / "best.pt"
    ]
    assert list((tmp_path / "data").rglob("staging/*")) == []


def test_a_killed_run_is_continued_as_one_run_without_lost_or_doubled_epochs(server, tmp_path):
    root = Path(__file__).parent.parent.parent
    killed = subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path)], cwd=root, stdout=subprocess.PIPE)
    assert killed.stdout.readline() == b"logged\n"
    killed.kill()
    killed.communicate()
    wait_for(lambda: not list(Path("/proc").glob(f"{killed.pid}")))
    with opened(tmp_path) as tracker:
        tracker.follow(epochs(5))
    run = server.kept.run
    assert (run.epochs, run.rewritten, run.opened, run.exit_code) == ([1, 2, 3, 4, 5], [], 2, 0)


def test_continued_where_the_server_has_all_it_logs_only_the_rest(server, tmp_path):
    with opened(tmp_path) as tracker:
        tracker.follow(epochs(3))
    assert server.kept.run.epochs == [1, 2, 3]
    with opened(tmp_path) as tracker:
        tracker.follow(epochs(4))
    run = server.kept.run
    assert (run.epochs, run.rewritten, run.opened) == ([1, 2, 3, 4], [], 2)


def test_a_refused_key_ends_it_before_the_run_with_a_way_out(server, tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", "b" * 40)
    said = r"tracking.mode=online: .* could not begin the run .*; the API key is refused: wandb login --relogin, or"
    with pytest.raises(TrackingUnavailableError, match=said), opened(tmp_path):
        pass
    assert server.kept.runs == {}


@pytest.mark.parametrize("failing", ["away", "broken"])
def test_a_server_that_cannot_be_used_ends_it_before_the_run(failing, server, tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_INIT_TIMEOUT", "2")
    if failing == "broken":
        server.status = 500
    else:
        server.stop()
    try:
        said = r"could not begin the run \(.*\); check login and network, or tracking=offline"
        with pytest.raises(TrackingUnavailableError, match=said), opened(tmp_path):
            pass
    finally:
        if failing == "away":
            server.start()


def test_a_server_that_goes_away_and_comes_back_gets_everything(server, tmp_path):
    with opened(tmp_path) as tracker:
        tracker.follow(epochs(2))
        with server.away():
            tracker.follow(epochs(4))
            time.sleep(2)
            assert tracker.lost is None
        tracker.follow(epochs(5))
    run = server.kept.run
    assert (run.epochs, run.rewritten, run.exit_code, tracker.lost) == ([1, 2, 3, 4, 5], [], 0, None)


def test_a_server_that_fails_for_a_while_gets_everything(server, tmp_path):
    with opened(tmp_path) as tracker:
        tracker.follow(epochs(2))
        server.status = 503
        tracker.follow(epochs(4))
        threading.Timer(2, lambda: setattr(server, "status", None)).start()
    run = server.kept.run
    assert (run.epochs, run.rewritten, run.exit_code, tracker.lost) == ([1, 2, 3, 4], [], 0, None)


def test_a_server_that_stays_away_is_given_up_and_what_it_lacks_can_be_uploaded(server, tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_FINISH_TIMEOUT", "2")
    begun = time.monotonic()
    with opened(tmp_path) as tracker:
        tracker.follow(epochs(2))
        server.stop()
        tracker.follow(epochs(4))
        folder = tracker.folder
    assert time.monotonic() - begun < 30
    command = f"wandb sync --include-online {folder}"
    assert tracker.lost == f"the server did not answer; {command} uploads the rest"
    server.start()
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    subprocess.run(command.split(), check=True, capture_output=True, cwd=tmp_path, env=environment)
    run = server.kept.run
    assert (run.epochs, run.rewritten, run.exit_code) == ([1, 2, 3, 4], [], 0)


def test_a_slow_server_does_not_hold_up_the_epochs(server, tmp_path):
    with opened(tmp_path) as tracker:
        server.seconds = 1.0
        begun = time.monotonic()
        for number in range(1, 6):
            tracker.follow(epochs(number))
        assert time.monotonic() - begun < 1.0
    assert server.kept.run.epochs == [1, 2, 3, 4, 5]
