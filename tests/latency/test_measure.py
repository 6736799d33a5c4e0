"""The whole measurement, on real networks and in a fraction of a second."""

import copy
import sys
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from tests.fabricate import timing
from yolo26_attention.config.schema import LatencyConfig
from yolo26_attention.data.digits import build_digits
from yolo26_attention.detector.grafting import graft
from yolo26_attention.detector.specification import Graft
from yolo26_attention.detector.stock import build_stock
from yolo26_attention.files.latency import MachineUse
from yolo26_attention.latency import measure as module
from yolo26_attention.latency import timed as timed_module
from yolo26_attention.latency.backends import deploy
from yolo26_attention.latency.clocks import event_clock, wall_clock
from yolo26_attention.latency.end_to_end import EndToEnd, batches, validation_images
from yolo26_attention.latency.measure import Subject, measure, measure_together
from yolo26_attention.latency.memory import RELOCATE_ROUNDS, Relocation, peak_memory
from yolo26_attention.latency.text import latency_rows, machine_text, ratio_text
from yolo26_attention.latency.throughput import _joules
from yolo26_attention.latency.trained import fused

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def measured(stock, grafted, images):
    settings = LatencyConfig(threads=1, seconds=1.0, max_pairs=60, width=0.0, throughput_batches=[2, 4])
    before = {name: tensor.clone() for name, tensor in grafted.state_dict().items()}
    found = measure(grafted, stock, settings, images=images, imgsz=64, device=CPU)
    assert all(torch.equal(tensor, before[name]) for name, tensor in grafted.state_dict().items())
    return found


def test_record_says_what_was_measured_and_how(measured):
    record = measured.latency
    expected = {"backend": "eager", "precision": "fp32", "batch": 1, "imgsz": 64, "threads": 1, "clock": "monotonic"}
    assert {key: getattr(record, key) for key in expected} == expected
    assert record.parity is None
    assert set(record.throughput) == {"2", "4"}
    assert isinstance(record.busy, bool)
    assert record.end_to_end.ratio_to_stock > 0


def test_samples_are_every_time_that_was_taken(measured):
    record, samples = measured.latency, measured.samples
    assert len(samples["model_ms"]) == len(samples["stock_ms"]) == record.pairs
    assert np.median(samples["model_ms"]) == pytest.approx(record.p50_ms)
    assert np.quantile(samples["end_to_end_stock_ms"], 0.99) == pytest.approx(record.end_to_end.stock_p99_ms)


def test_attention_takes_more_memory_and_the_same_each_time(measured, grafted, stock, images, tmp_path):
    memory = measured.latency.memory
    deployed = deploy(copy.deepcopy(grafted), "eager", "fp32", CPU, imgsz=64, batch=1, folder=tmp_path)
    with torch.inference_mode():
        again = peak_memory(deployed.network, EndToEnd(deployed.network, 64, CPU).prepare(images[:1]), CPU)
    assert again / 1e6 == memory.peak_mb > memory.stock_peak_mb
    assert memory.stock_peak_mb * 1e6 > 4 * sum(p.numel() for p in copy.deepcopy(stock).fuse().parameters())


def test_peak_memory_by_hand():
    class Network:
        backend = type("Backend", (), {"model": torch.nn.Linear(4, 4, bias=False)})

        def __call__(self, x):
            return (x + 1) * 2  # two maps at once, at most

    x = torch.rand(1000)
    assert peak_memory(Network(), x, CPU) == pytest.approx(2 * 4000 + 64, abs=16)  # and the two scalars


def test_slower_network_is_told_from_the_stock_network(stock, grafted, images, options):
    slow = copy.deepcopy(grafted)
    slow.model[0].register_forward_hook(_burn)
    record = measure(
        slow, stock, replace(options, max_pairs=20, seconds=5), images=images, imgsz=64, device=CPU
    ).latency
    assert record.ratio_to_stock > 2
    assert record.end_to_end.ratio_to_stock > 1.5


def test_several_networks_share_a_stock_network_and_are_compared_with_their_baseline(
    stock, grafted, images, options, monkeypatch
):
    timed = []
    time_in_turn = timed_module.time_in_turn

    def watched(networks, *others, **given):
        timed.append((len(networks), given["pairs"], given["seconds"]))
        return time_in_turn(networks, *others, **given)

    monkeypatch.setattr(timed_module, "time_in_turn", watched)
    slow = copy.deepcopy(grafted)
    slow.model[0].register_forward_hook(_burn)
    subjects = [
        Subject(stock, stock, images, 64),
        Subject(grafted, stock, images, 64, baseline=0),
        Subject(slow, stock, images, 64, baseline=0),
    ]
    several = replace(options, max_pairs=45, seconds=20)
    plain, attended, burning = measure_together(subjects, several, device=CPU)
    assert timed == [(4, [(1, 0), (2, 0), (3, 0), (2, 1), (3, 1)], 40.0)] * 2
    assert plain.to_baseline is None
    assert 1 < attended.to_baseline.ratio < burning.to_baseline.ratio
    assert burning.to_baseline.low < burning.to_baseline.ratio < burning.to_baseline.high
    assert burning.latency.ratio_to_stock > 2
    assert np.array_equal(attended.samples["stock_ms"], burning.samples["stock_ms"])
    assert burning.latency.throughput["2"].stock_images_per_second > burning.latency.throughput["2"].images_per_second
    assert attended.latency.memory.peak_mb > attended.latency.memory.stock_peak_mb


def test_a_network_that_cannot_be_deployed_does_not_keep_the_others_from_being_timed(
    stock, grafted, images, options, monkeypatch
):
    deploy = module.deploy

    def breaks(network, *given, **options):
        if sum(p.numel() for p in network.parameters()) != sum(p.numel() for p in stock.parameters()):
            raise RuntimeError("no such operator")
        return deploy(network, *given, **options)

    monkeypatch.setattr(module, "deploy", breaks)
    subjects = [Subject(grafted, stock, images, 64), Subject(stock, stock, images, 64, baseline=0)]
    failed, found = measure_together(subjects, options, device=CPU)
    assert str(failed) == "no such operator"
    assert found.latency.pairs > 0
    assert found.to_baseline is None
    with pytest.raises(RuntimeError, match="no such operator"):
        measure(grafted, stock, options, images=images, imgsz=64, device=CPU)


def test_seeds_change_values_and_no_operator():
    """One finished run stands for all seeds of a variant: the same graph of the same shapes, whatever the values."""
    shapes = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        network = build_stock("yolo26n", classes=3, channels=3).eval()
        graft(network, Graft("yolo26_attention.attention.acmix.ACmix", {"kernel_att": 3}, ("p3",), seed=seed))
        deployed = fused(network)
        with profile(activities=[ProfilerActivity.CPU], record_shapes=True) as seen, torch.inference_mode():
            deployed(torch.zeros(1, 3, 64, 64))
        shapes.append([(event.name, event.input_shapes) for event in seen.events()])
    assert shapes[0] == shapes[1]


def _burn(module, inputs, output):
    for _ in range(40):
        torch.rand(256, 256) @ torch.rand(256, 256)


def test_end_to_end_finds_what_ultralytics_predictor_finds(stock, images):
    network = deploy(copy.deepcopy(stock), "eager", "fp32", CPU, imgsz=64, batch=1, folder=None).network
    end = EndToEnd(network, 64, CPU)
    end.predictor.args.conf = 0.0
    with torch.inference_mode():
        ((found),) = end(images[1:2])
        prepared = end.prepare(images[1:2])
    assert prepared.shape == (1, 3, 64, 64)
    assert found.orig_shape == (48, 80)
    assert len(found.boxes) > 0
    assert found.boxes.xyxy[:, 2].max() <= 80


def test_suppression_is_timed_as_ultralytics_predictor_does_it(stock, images, monkeypatch):
    network = deploy(copy.deepcopy(stock), "eager", "fp32", CPU, imgsz=64, batch=1, folder=None).network
    monkeypatch.delitem(sys.modules, "torchvision", raising=False)
    EndToEnd(network, 64, CPU)
    assert "torchvision" in sys.modules


def test_images_are_those_of_the_validation_split(tmp_path):
    yaml = build_digits(tmp_path, train_images=4, val_images=3, imgsz=64, seed=0)
    found = validation_images(yaml, channels=3)
    assert [image.shape for image in found] == [(64, 64, 3)] * 3
    assert len(validation_images(yaml, channels=3, count=2)) == 2


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        pytest.param(1, [["a"], ["b"], ["c"]], id="one"),
        pytest.param(2, [["a", "b"]], id="two"),
        pytest.param(4, [["a", "b", "c", "a"]], id="more-than-there-are"),
    ],
)
def testbatches(size, expected):
    assert batches(["a", "b", "c"], size) == expected


def test_relocated_networks_are_equal_and_elsewhere(stock, tmp_path):
    networks = [
        deploy(copy.deepcopy(stock), "eager", "fp32", CPU, imgsz=64, batch=1, folder=tmp_path).network for _ in range(2)
    ]
    before = [network.backend.model for network in networks]
    relocation = Relocation(networks, [lambda: None] * 2)
    for _ in range(RELOCATE_ROUNDS - 1):
        relocation()
    assert [network.backend.model for network in networks] == before
    relocation()
    for old, network in zip(before, networks, strict=True):
        pairs = list(zip(old.parameters(), network.backend.model.parameters(), strict=True))
        assert all(torch.equal(*pair) and pair[0].data_ptr() != pair[1].data_ptr() for pair in pairs)


def test_order_of_relocation_is_drawn_and_then_turned_round(monkeypatch):
    networks = [SimpleNamespace(backend=SimpleNamespace(model=name)) for name in "ab"]
    copied, called = [], []
    monkeypatch.setattr(copy, "deepcopy", lambda model: copied.append(model) or model)
    relocation = Relocation(networks, [partial(called.append, name) for name in "ab"])
    for _ in range(40 * RELOCATE_ROUNDS):
        relocation()
    assert copied == called
    first = copied[::2]
    assert len(first) == 40
    assert all(one != other for one, other in zip(first[::2], first[1::2], strict=True))
    assert set(first[::2]) == {"a", "b"}


def test_wall_clock_measures_the_call():
    given = []
    assert 0 < wall_clock(CPU)(given.append, 3) < 1000
    assert given == [3]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_event_clock_waits_for_the_stream():
    x = torch.rand(4096, 4096, device="cuda")
    clocks = [clock(torch.device("cuda")) for clock in (event_clock, wall_clock)]
    x @ x
    events, wall = (clock(lambda y: y @ y @ y @ y, x) for clock in clocks)
    assert events == pytest.approx(wall, rel=0.5)


def test_text_of_a_quiet_machine_and_of_a_busy_one(measured):
    quiet = replace(measured.latency, busy=False, throttled=None)
    assert "machine" not in dict(latency_rows(quiet))
    busy = replace(quiet, busy=True, throttled=True, machine=MachineUse(0.98, 2))
    assert machine_text(busy) == "BUSY: other processes used 0.98 cores; THROTTLED while it measured"
    assert dict(latency_rows(busy))["machine"] == machine_text(busy)


def test_text_of_a_ratio_without_interval():
    timed = timing(1.5, ratio_low=None, ratio_high=None, pairs=3)
    assert ratio_text(timed) == "1.500 (no interval; 3 pairs timed in turn)"


def test_text_of_nothing_measured():
    assert latency_rows(None) == [("latency", "not measured (latency.enabled=false)")]


@pytest.mark.parametrize(
    ("readings", "expected"),
    [
        pytest.param([100.0, 106.0], 3.0, id="card_tells"),
        pytest.param([None], None, id="card_never_tells"),
        pytest.param([100.0, None], None, id="card_stops_telling"),
    ],
)
def test_energy_is_that_of_one_image_where_the_card_tells(readings, expected):
    machine = SimpleNamespace(gpu=SimpleNamespace(joules=partial(next, iter(readings))))
    deployed = SimpleNamespace(network=None)
    assert _joules(deployed, torch.zeros(2, 3, 32, 32), lambda network, batch: 3000.0, machine) == expected
