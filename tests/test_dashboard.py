"""The study's dashboard: its definition offline, and what is sent where a server is wanted."""

import json

import pytest

from src.dashboard import Options, dashboard
from tests.fabricate import declare, write_study
from yolo26_attention.reporting.comparison import compare
from yolo26_attention.reporting.study import StudyError, read_study
from yolo26_attention.reporting.workspace import swept_options, swept_points

pytest.importorskip("wandb_workspaces")


@pytest.fixture
def output_dir(tmp_path):
    variants = {f"k{k}": ({"name": "acmix", "kernel_att": k}, 0.5 + 0.01 * k) for k in (3, 5)}
    write_study(tmp_path, {"b": ({"name": "baseline"}, 0.5), **variants})
    return tmp_path


def panels(output_dir):
    definition = json.loads((output_dir / "studies" / "made_up" / "dashboard.json").read_text())
    section = definition["spec"]["section"]
    (runs,) = section["runSets"]
    assert (runs["filters"]["filters"][0]["key"]["name"], runs["filters"]["filters"][0]["value"]) == (
        "group",
        "made_up",
    )
    return [panel for section in section["panelBankConfig"]["sections"] for panel in section["panels"]]


def test_definition_is_written_and_says_what_to_do(output_dir):
    text = dashboard(Options("made_up", str(output_dir)))
    assert "wandb sync" in text
    assert "save=true entity=YOUR_USER_OR_TEAM" in text
    configs = {panel["viewType"]: [p["config"] for p in panels(output_dir) if p["viewType"] == panel["viewType"]]
               for panel in panels(output_dir)}  # fmt: skip
    (scatter,) = configs["Scatter Plot"]
    assert (scatter["xAxis"], scatter["yAxis"]) == ("summary:latency_ratio_to_stock", "summary:map50_95")
    (parallel,) = configs["Parallel Coordinates Plot"]
    assert "config:attention.value.kernel_att" in [column["accessor"] for column in parallel["columns"]]
    assert [(bar["groupBy"], bar["groupArea"]) for bar in configs["Bar Chart"]] == [
        ("attention.value.name", "stddev"),
        ("attention.value.kernel_att", "stddev"),
    ]
    lines = configs["Run History Line Plot"]
    assert any(line["xAxis"] == "swept/attention.kernel_att" for line in lines)
    assert [line["metricRegex"] for line in lines if "metricRegex" in line] == [
        "attention/.*/rate1",
        "attention/.*/rate2",
    ]


def test_lines_are_drawn_of_what_the_report_logs(output_dir):
    points = list(swept_points(compare(read_study("made_up", output_dir), margin=0.005)))
    assert [point["swept/attention.kernel_att"] for point in points] == [3, 5]
    dashboard(Options("made_up", str(output_dir)))
    (line,) = [panel["config"] for panel in panels(output_dir) if panel["config"].get("xAxis", "").startswith("swept/")]
    assert {line["xAxis"], *line["metrics"]} == set(points[0])


def test_only_what_varies_is_an_option(output_dir):
    assert swept_options(read_study("made_up", output_dir)) == ["attention.kernel_att"]


def test_saving_sends_it_to_the_entity(output_dir, monkeypatch):
    import wandb_workspaces.workspaces as ws

    sent = []

    def save(workspace):
        sent.append((workspace.entity, workspace.project, workspace.name))
        return workspace

    monkeypatch.setattr(ws.Workspace, "save", save)
    monkeypatch.setattr(ws.Workspace, "url", "https://there")  # the address asks the server for its name
    text = dashboard(Options("made_up", str(output_dir), entity="team", save=True))
    assert sent == [("team", "tests", "Study made_up")]
    assert text.endswith("saved: https://there")


def test_refused_saving_says_why(output_dir, monkeypatch):
    import wandb
    import wandb_workspaces.workspaces as ws

    def refuse(workspace):
        raise wandb.errors.UsageError("No API key configured")

    monkeypatch.setattr(ws.Workspace, "save", refuse)
    with pytest.raises(RuntimeError, match=r"No API key configured.*wandb login"):
        dashboard(Options("made_up", str(output_dir), entity="team", save=True))


def test_saving_needs_an_entity(output_dir):
    with pytest.raises(StudyError, match="give entity=NAME"):
        dashboard(Options("made_up", str(output_dir), save=True))


def test_study_that_has_not_begun(tmp_path):
    declare(tmp_path, "made_up", [{"run": "absent", "variant": "baseline", "seed": 0}])
    with pytest.raises(StudyError, match="no run has begun"):
        dashboard(Options("made_up", str(tmp_path)))
