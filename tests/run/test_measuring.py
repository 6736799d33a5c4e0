"""What a trained network costs: a failure costs no training, and a finished run is measured again without training."""

import dataclasses
import re
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from tests.fabricate import latency_of
from yolo26_attention.detector.grafting import graft
from yolo26_attention.detector.specification import Graft
from yolo26_attention.detector.stock import build_stock
from yolo26_attention.files.record import ObjectiveError, Record
from yolo26_attention.latency.parity import ParityError
from yolo26_attention.latency.trained import measure_run
from yolo26_attention.plan.checks import check
from yolo26_attention.run import measuring
from yolo26_attention.run.measuring import asked, find, network_cost
from yolo26_attention.run.runner import run
from yolo26_attention.run.summary import table

QUICK = ("latency=default", "latency.seconds=0.05", "latency.max_pairs=3", "latency.throughput_batches=[]")


@pytest.fixture(scope="module")
def trained(tiny, tmp_path_factory):
    """A finished run that was not measured, and its configuration."""
    folder = tmp_path_factory.mktemp("trained")
    plan = check(tiny("attention=baseline", f"output_dir={folder}"))
    record, _ = run(plan, "")
    assert record.latency is None
    return plan.folder


@pytest.fixture
def finished(trained, tiny, tmp_path, monkeypatch):
    """Runs the same command with other options on a copy of the finished run; training is an error."""
    shutil.copytree(trained, tmp_path / "runs" / trained.name)

    def again(*overrides):
        plan = check(tiny("attention=baseline", *overrides, f"output_dir={tmp_path}"))
        assert plan.folder.name == trained.name
        return plan, run(plan, "")[0]

    monkeypatch.setattr("yolo26_attention.run.attempt._train", None)
    return again


def stored(plan):
    return Record.read(plan.folder)


def test_run_that_was_not_measured_is_measured_without_training(finished):
    plan, record = finished(*QUICK)
    assert record.latency.ratio_to_stock > 0
    assert record.objective("latency_ratio") == record.latency.ratio_to_stock
    assert stored(plan).latency == record.latency
    assert stored(plan).measurements == []
    assert record.latency.environment["cpu_count"]
    assert (plan.folder / "latency.npz").exists()
    before = stored(plan)
    assert finished(*QUICK)[1].latency == before.latency
    assert stored(plan) == before


@pytest.fixture
def counted(finished, monkeypatch):
    """As `finished`, with measurements that only say which they are and what was asked for."""
    calls = []

    def measure_run(plan, trained, imgsz, samples):
        calls.append(imgsz)
        (plan.folder / samples).write_bytes(b"times")
        return latency_of(float(len(calls)), backend=plan.config.latency.backend.value)

    monkeypatch.setattr(measuring, "measure_run", measure_run)
    return finished, calls


@pytest.mark.parametrize(
    "options",
    [
        pytest.param(["latency.batch=2"], id="batch"),
        pytest.param(["latency.imgsz=96"], id="size"),
        pytest.param(["latency.precision=bf16"], id="precision"),
        pytest.param(["latency.backend=onnxruntime"], id="backend"),
        pytest.param(["latency.threads=1"], id="threads"),
        pytest.param(["trainer.threads=1"], id="threads-of-the-training"),
        pytest.param(["latency.seconds=0.1"], id="seconds"),
        pytest.param(["latency.throughput_batches=[2]"], id="batches"),
    ],
)
def test_other_options_are_measured_once_and_kept_beside_the_first(counted, options):
    finished, calls = counted
    plan, first = finished(*QUICK)
    _, other = finished(*QUICK, *options)
    assert (first.latency.ratio_to_stock, other.latency.ratio_to_stock) == (1.0, 2.0)
    kept = stored(plan)
    assert kept.latency.ratio_to_stock == 1.0
    assert [measured.ratio_to_stock for measured in kept.measurements] == [2.0]
    assert finished(*QUICK, *options)[1].latency.ratio_to_stock == 2.0
    assert finished(*QUICK)[1].latency.ratio_to_stock == 1.0
    assert len(calls) == 2
    assert len(list(plan.folder.glob("latency*.npz"))) == 2
    assert stored(plan) == kept


def test_measurement_is_made_on_another_device(counted, monkeypatch):
    finished, calls = counted
    finished(*QUICK)
    monkeypatch.setattr(measuring, "device_name", lambda device: "Another Card")
    plan, record = finished(*QUICK)
    assert record.latency.options["device"] == "Another Card"
    assert len(calls) == 2 == 1 + len(stored(plan).measurements)


def test_measurement_is_repeated_by_a_switch_and_the_one_before_is_kept(counted):
    finished, _ = counted
    finished(*QUICK)
    finished(*QUICK, "latency.batch=2")
    plan, record = finished(*QUICK, "latency.again=true")
    assert record.latency.ratio_to_stock == stored(plan).latency.ratio_to_stock == 3.0
    _, record = finished(*QUICK, "latency.batch=2", "latency.again=true")
    assert record.latency.ratio_to_stock == 4.0
    assert [measured.ratio_to_stock for measured in stored(plan).measurements] == [4.0, 1.0, 2.0]
    assert finished(*QUICK)[1].latency.ratio_to_stock == 3.0
    assert finished(*QUICK, "latency.batch=2")[1].latency.ratio_to_stock == 4.0


def test_disabled_latency_measures_nothing_and_shows_what_there_is(counted):
    finished, calls = counted
    finished(*QUICK)
    assert finished()[1].latency.ratio_to_stock == 1.0
    assert len(calls) == 1


def failing(error):
    def measure_run(*_):
        raise error

    return measure_run


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(ParityError("onnxruntime: differs"), id="parity"),
        pytest.param(torch.OutOfMemoryError("no memory"), id="memory"),
        pytest.param(ImportError("no runtime"), id="runtime"),
        pytest.param(SystemExit(3), id="exit"),
    ],
)
def test_failed_measurement_leaves_the_training_finished_and_is_tried_again(error, tiny, tmp_path, monkeypatch):
    measure_run = measuring.measure_run
    monkeypatch.setattr(measuring, "measure_run", failing(error))
    plan = check(tiny("attention=baseline", *QUICK, f"output_dir={tmp_path}"))
    record, did_train = run(plan, "")
    assert did_train
    assert (record.status, record.error) == ("finished", None)
    assert record.latency.error == f"{type(error).__name__}: {error}"
    assert record.metrics["map50_95"] >= 0
    assert record.model.gflops > 0
    assert re.search(rf"^latency +NOT MEASURED: {type(error).__name__}: ", table(record, plan.folder), re.MULTILINE)
    with pytest.raises(ObjectiveError, match=rf"has no latency_ratio \({type(error).__name__}: "):
        record.objective("latency_ratio")
    monkeypatch.setattr(measuring, "measure_run", measure_run)
    record, did_train = run(plan, "")
    assert not did_train
    assert record.timed is not None
    assert stored(plan).latency.ratio_to_stock == record.objective("latency_ratio")
    assert stored(plan).measurements == []


def test_failed_further_measurement_keeps_the_first_and_is_replaced_when_it_succeeds(counted, monkeypatch):
    finished, _ = counted
    finished(*QUICK)
    measure_run = measuring.measure_run
    monkeypatch.setattr(measuring, "measure_run", failing(ParityError("differs")))
    for _ in range(2):
        plan, record = finished(*QUICK, "latency.batch=2")
        assert record.latency.error == "ParityError: differs"
        assert stored(plan).latency.ratio_to_stock == 1.0
        assert [measured.error for measured in stored(plan).measurements] == ["ParityError: differs"]
    assert finished(*QUICK, "latency.again=true")[1].latency.error
    assert stored(plan).latency.ratio_to_stock == 1.0
    monkeypatch.setattr(measuring, "measure_run", measure_run)
    finished(*QUICK, "latency.batch=2")
    assert [measured.ratio_to_stock for measured in stored(plan).measurements] == [2.0]


def test_damaged_weights_are_said_and_what_was_measured_stays(counted):
    finished, calls = counted
    plan, _ = finished(*QUICK)
    (plan.folder / "train" / "weights" / "best.pt").write_bytes(b"broken")
    _, record = finished(*QUICK, "latency.batch=2")
    assert "force=true trains the run anew" in record.latency.error
    assert finished(*QUICK)[1].latency.ratio_to_stock == 1.0
    assert len(calls) == 1


def test_interrupted_measurement_leaves_the_record_as_it_was(counted, monkeypatch):
    finished, _ = counted
    plan, _ = finished(*QUICK)
    before = stored(plan)
    monkeypatch.setattr(measuring, "measure_run", failing(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        finished(*QUICK, "latency.batch=2")
    assert stored(plan) == before


def test_measurement_of_an_earlier_version_is_recognised_by_the_configuration(composed):
    """It has no options of its own, and the configuration lacks what came later."""
    config = composed("attention=baseline", "latency.batch=2").plain()
    del config["latency"]["again"], config["latency"]["max_pairs"]
    record = Record("a", "a", "s", 0, config, latency=latency_of(1.5), environment={"device": "cpu"})
    assert find(record, asked(composed("latency.batch=2").plain(), "cpu")) == record.latency
    assert find(record, asked(composed("latency.batch=1").plain(), "cpu")) is None
    assert find(record, asked(composed("latency.batch=2").plain(), "A Card")) is None


def test_threads_are_those_of_the_training_where_latency_names_none(composed):
    assert asked(composed("trainer.threads=3").plain(), "cpu")["threads"] == 3
    assert asked(composed("trainer.threads=3", "latency.threads=2").plain(), "cpu")["threads"] == 2


def test_size_is_that_of_the_training_where_latency_names_none(composed):
    assert asked(composed("trainer.imgsz=96").plain(), "cpu")["imgsz"] == 96
    assert asked(composed("trainer.imgsz=96", "latency.imgsz=64").plain(), "cpu")["imgsz"] == 64


def test_costs_that_cannot_be_counted_are_none_and_say_why():
    class Stubborn(torch.nn.Conv2d):
        def forward(self, x):
            raise RuntimeError(f"not at {x.shape[-1]}")

    costs = network_cost(Stubborn(3, 8, 1), 3, 64)
    assert (costs.parameters, costs.gflops, costs.thop_gflops, costs.flops_imgsz) == (32, None, None, 64)
    assert costs.not_counted == ["everything, as the network fails at 64 px: RuntimeError: not at 64"]


def test_gflops_are_those_at_the_image_size_beside_them():
    stock = build_stock("yolo26n", classes=3, channels=3).eval()
    small, large = (network_cost(stock, 3, size) for size in (64, 128))
    assert large.gflops / small.gflops == pytest.approx(4, rel=0.05)
    assert (small.flops_imgsz, large.flops_imgsz) == (64, 128)


def test_run_is_measured_with_its_own_threads_size_device_and_stock_network(tiny, tmp_path, monkeypatch):
    seen = {}

    def measure(model, stock, options, **given):
        seen.update(given, model=model, stock=stock, options=options)
        seen["map"] = given["validate"]("network")
        return SimpleNamespace(latency="made up", samples={"model_ms": np.ones(3)})

    monkeypatch.setattr("yolo26_attention.latency.trained.measure", measure)
    monkeypatch.setattr("yolo26_attention.latency.trained.validate_deployed", lambda *given: given)
    plan = check(
        tiny("attention=baseline", *QUICK, "trainer.threads=3", "latency.throughput_batches=[2,16]", "latency.batch=4")
    )
    plan = dataclasses.replace(plan, folder=tmp_path)
    assert measure_run(plan, "trained", 96, "times.npz") == "made up"
    assert (seen["model"], seen["imgsz"], seen["device"], seen["options"].threads) == ("trained", 96, plan.device, 3)
    assert seen["stock"].yaml["nc"] == 10
    assert not seen["stock"].training
    assert seen["map"][:4] == ("network", str(plan.dataset.yaml), 64, 16)
    assert np.load(tmp_path / "times.npz")["model_ms"].tolist() == [1, 1, 1]


def put_another(folder, name="yolo26n", attention=None):
    """Another network in place of best.pt."""
    model = build_stock(name, 10, 3)
    if attention is not None:
        graft(model, Graft(attention, {}, ("p3",)))
    torch.save({"model": model, "train_args": {}}, folder / "train" / "weights" / "best.pt")


def forget_the_digest(folder):
    """The record as an earlier version wrote it."""
    kept = Record.read(folder)
    kept.checkpoints = {}
    kept.write(folder)


def test_a_checkpoint_of_another_run_is_not_measured(counted, caplog):
    finished, calls = counted
    plan, _ = finished(*QUICK)
    put_another(plan.folder)
    _, record = finished(*QUICK, "latency.batch=2")
    assert "best.pt is not the checkpoint that this run trained" in record.latency.error
    assert "force=true trains the run anew" in record.latency.error
    assert "best.pt is not the checkpoint that this run trained" in caplog.text
    assert len(calls) == 1


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"attention": "yolo26_attention.attention.simam.SimAM"}, "SimAM, but this run trained no attention"),
        ({"name": "yolo26s"}, " parameters, but this run trained "),
    ],
    ids=["graft", "size"],
)
def test_without_a_digest_the_graft_and_the_size_of_a_checkpoint_are_compared(other, said, counted):
    finished, calls = counted
    plan, _ = finished(*QUICK)
    forget_the_digest(plan.folder)
    assert finished(*QUICK, "latency.batch=4")[1].timed is not None
    put_another(plan.folder, **other)
    _, record = finished(*QUICK, "latency.batch=2")
    assert said in record.latency.error
    assert len(calls) == 2
