"""What is published of a study tells nothing about the machine, and has all that a report reads."""

import json

import pytest

from tests.fabricate import config_of, declare, write_run
from yolo26_attention.study.publishing import publish


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("/home/me/set", "set"),
        ("/home/me/my set", "my set"),
        ("/home/me/my set (old)/d.yaml", "d.yaml"),
        ("data.yaml=/home/me/my data/d.yaml", "data.yaml=d.yaml"),
        ("+data.yaml=/d.yaml", "+data.yaml=d.yaml"),
        ("hydra.searchpath=[file:///home/me/mine]", "hydra.searchpath=[file://mine]"),
        ("hydra.searchpath=[file:///home/me/my dir/mine,/home/me/two]", "hydra.searchpath=[file://mine,two]"),
        ("storage=sqlite:////home/me/optuna.db", "storage=sqlite:///optuna.db"),
        ("sqlite:////home/me/optuna.db", "sqlite:///optuna.db"),
        ("python -m src.sweep 'data.yaml=/home/me/my data/d.yaml'", "python -m src.sweep 'data.yaml=d.yaml'"),
        (
            "python -m src.sweep '/home/me/own.yaml' hydra/launcher=slurm",
            "python -m src.sweep 'own.yaml' hydra/launcher=slurm",
        ),
        (
            "python -m src.sweep /home/me/own.yaml hydra/launcher=slurm",
            "python -m src.sweep own.yaml hydra/launcher=slurm",
        ),
        ("no images (/home/me/set)", "no images (set)"),
        ("no images in /home/me/set\nat all", "no images in set\nat all"),
        ("/home/me/set\nis empty", "set\nis empty"),
        ("data={source:/home/me/set}", "data={source:set}"),
        ("PYTHONPATH=a:/home/me/set", "PYTHONPATH=a:set"),
        ("outputs/runs/one", "outputs/runs/one"),
        ("data.yaml=../set/d.yaml", "data.yaml=../set/d.yaml"),
        ("see https://example.org/a/b and metrics/mAP50-95(B)", "see https://example.org/a/b and metrics/mAP50-95(B)"),
        ("latency / stock, 3 / 4", "latency / stock, 3 / 4"),
    ],
)
def test_paths_lose_their_folders_and_nothing_else_is_lost(given, kept, tmp_path):
    folder = write_run(tmp_path / "outputs", config_of({"name": "se"}, 0))
    declare(tmp_path / "outputs", "made_up", [{"run": folder.name, "variant": "se", "seed": 0}], given)
    publish(tmp_path / "outputs", "made_up", tmp_path / "copy")
    assert json.loads((tmp_path / "copy/studies/made_up/study.json").read_text())["question"] == kept


def test_a_journal_whose_last_line_was_cut_off_is_published_without_it(tmp_path):
    folder = write_run(tmp_path / "outputs", config_of({"name": "se"}, 0))
    declare(tmp_path / "outputs", "made_up", [{"run": folder.name, "variant": "se", "seed": 0}])
    whole = (folder / "journal.jsonl").read_text()
    (folder / "journal.jsonl").write_text(whole + '{"event": "epo')
    publish(tmp_path / "outputs", "made_up", tmp_path / "copy")
    copied = (tmp_path / "copy/runs" / folder.name / "journal.jsonl").read_text()
    assert [json.loads(line) for line in copied.splitlines()] == [json.loads(line) for line in whole.splitlines()]
