"""The cost of a configuration without training it, and the table that a sweep of them ends with."""

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from src.profile import NoProfile, Profile, Table, table
from tests.conftest import TINY, beside
from tests.fabricate import latency_of
from yolo26_attention.files.latency import MachineUse

ROOT = Path(__file__).parent.parent
SMALL = (*(option for option in TINY if option != "latency=disabled"), "latency.seconds=0.3", "latency.max_pairs=45")


def profile(folder, *overrides):
    small = beside(overrides, base=SMALL)
    command = [sys.executable, "-m", "src.profile", *overrides, *small, f"output_dir={folder}"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """A sweep of which one variant cannot be run."""
    folder = tmp_path_factory.mktemp("profile")
    return folder, profile(folder, "-m", "attention=baseline,acmix", "placement=p3,c2psa", "placement.mode=bottleneck")


def test_sweep_ends_with_one_sorted_table(swept):
    _, result = swept
    lines = result.stdout[result.stdout.rindex("variant ") :].splitlines()
    ratios = [float(re.findall(r"\d+\.\d{3}", line)[2]) for line in lines[1:4]]
    assert ratios == sorted(ratios)
    assert "attention=acmix placement=p3" in "\n".join(lines[1:4])
    assert "placement.mode" not in "\n".join(lines[:4])  # every variant has it


def test_variant_that_cannot_be_run_is_in_the_table_and_in_the_exit_status(swept):
    _, result = swept
    assert re.search(r"attention=acmix placement=c2psa +placement.mode=bottleneck: site c2psa has no", result.stdout)
    assert result.returncode == 1


def test_each_variant_left_its_numbers(swept):
    folder, _ = swept
    costs = [json.loads(path.read_text()) for path in sorted(folder.glob("profiles/*/*.json"))]
    assert len(costs) == 4
    measured = [cost for cost in costs if "latency" in cost]
    assert len(measured) == 3
    stock, acmix = (
        next(c for c in measured if f"attention={name}" in c["overrides"]) for name in ("baseline", "acmix")
    )
    assert acmix["gflops"] > stock["gflops"]
    assert acmix["latency"]["backend"] == "eager"


def test_single_profile_prints_sites_costs_and_that_nothing_was_trained(tmp_path):
    # Time for the forty pairs that an interval needs, however busy the machine is.
    result = profile(tmp_path, "attention=se", "placement=p4", "latency.seconds=30")
    assert result.returncode == 0, result.stderr
    for expected in (
        r"^p4 .*append se",
        r"^stock tensors  708 of 708",
        r"^GFLOPs by thop +\d",
        r"^latency / stock +\d\.\d+ \(95 %: ",
        r"^end to end p50, p95, p99",
        r"^images/s at batch 8",
        r"^peak memory",
        r"^Weights are random",
    ):
        assert re.search(expected, result.stdout, re.MULTILINE), expected
    assert list(tmp_path.glob("runs/*")) == []


def test_refusal_is_one_line(tmp_path):
    result = profile(tmp_path, "attention.heads=5")
    assert result.returncode == 1
    assert re.search(r"^error: attention at site p3: heads=5", result.stderr, re.MULTILINE)
    assert "Traceback" not in result.stderr


def test_disabled_latency_is_refused(tmp_path):
    result = profile(tmp_path, "latency.enabled=false")
    assert result.returncode == 1
    assert "error: latency.enabled=false leaves nothing to profile; use python -m src.describe" in result.stderr


def cost(name, ratio, busy=False):
    latency = latency_of(ratio, ratio_low=None, ratio_high=None, memory=None, busy=busy, machine=MachineUse(1.0, 2))
    overrides = [f"attention={name}", "seed=0"]
    return Profile(12, 0.5, 0.4, 320, overrides=overrides, latency=latency)


def test_table_of_costs():
    costs = [
        cost("slow", 1.5, busy=True),
        NoProfile(["attention=none", "seed=0"], "no"),
        cost("quick", 0.9),
    ]
    lines = table(costs).splitlines()
    assert [line.split()[0] for line in lines[1:]] == ["attention=quick", "attention=slow", "attention=none"]
    assert lines[2].endswith("BUSY: other processes used 1.00 cores")
    assert "unknown" in lines[1]
    assert lines[3].split() == ["attention=none", "no"]


def test_table_has_the_image_size_and_what_is_not_counted():
    known, unknown = cost("known", 0.9), cost("unknown", 1.0)
    unknown = replace(unknown, gflops=None, not_counted=["aten::_fft_r2c (site p3)"])
    header, *lines = table([known, unknown]).splitlines()
    assert header.split()[:5] == ["variant", "parameters", "GFLOPs", "thop", "px"]
    assert lines[0].split()[1:5] == ["12", "0.500", "0.400", "320"]
    assert lines[1].split()[1:5] == ["12", "?", "0.400", "320"]
    assert lines[1].endswith("not counted: aten::_fft_r2c (site p3)")


def test_table_of_one_names_all_it_was_given():
    assert table([cost("quick", 0.9)]).splitlines()[1].startswith("attention=quick seed=0 ")


def test_sweep_without_any_result_says_so(compose_config, tmp_path):
    from omegaconf import OmegaConf

    with pytest.raises(SystemExit, match="no variant left a result"):
        Table().on_multirun_end(OmegaConf.create({"hydra": {"sweep": {"dir": str(tmp_path)}}}))
