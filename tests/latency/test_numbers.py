"""Which number stands under which name: on made-up times, so that no two of them can be exchanged."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from yolo26_attention.config.schema import Backend, LatencyConfig
from yolo26_attention.files.latency import MachineUse, NoThroughput
from yolo26_attention.latency import measure as module
from yolo26_attention.latency import throughput, timed
from yolo26_attention.latency.backends import Deployed
from yolo26_attention.latency.machine import Watched
from yolo26_attention.latency.measure import _memory, measure
from yolo26_attention.latency.protocol import Rounds
from yolo26_attention.latency.ready import Ready
from yolo26_attention.latency.text import latency_rows
from yolo26_attention.latency.throughput import measure_throughput
from yolo26_attention.latency.timed import Timed, time_networks

CPU = torch.device("cpu")
MILLISECONDS = {"model": 20.0, "stock": 5.0, "model end": 30.0, "stock end": 6.0}


class Named:
    """Stands for a network, or for the way from images to boxes through it."""

    def __init__(self, name):
        self.name = name

    def __call__(self, images):
        return self.name

    def prepare(self, images):
        return torch.zeros(len(images), 3, 8, 8)


@pytest.fixture
def both(monkeypatch):
    """Two deployed networks and their ways from end to end, on a clock that knows each."""
    for each in (timed, throughput):
        monkeypatch.setattr(each, "wall_clock", lambda device: lambda call, argument: MILLISECONDS[call(argument)])
    return [Ready(Deployed(Named(name)), Named(f"{name} end"), ["image"] * 4, 1) for name in ("model", "stock")]


def watch(joules=None):
    seen = Watched(False, None, MachineUse(0.0, 2))
    return SimpleNamespace(gpu=joules, sample=lambda: None, stop=lambda: seen)


PAIR = [(0, 1)]


def test_throughput_is_that_of_each_and_its_ratio_is_above_one_for_the_faster(both):
    (found,) = measure_throughput(both, PAIR, 4, 0.01, CPU, watch())
    assert found.images_per_second == pytest.approx(4 / 0.020)
    assert found.stock_images_per_second == pytest.approx(4 / 0.005)
    assert found.ratio_to_stock == pytest.approx(0.25)


def test_energy_is_that_of_each(both, monkeypatch):
    monkeypatch.setattr(throughput, "_joules", lambda deployed, *_: {"model": 3.0, "stock": 2.0}[deployed.network.name])
    (found,) = measure_throughput(both, PAIR, 4, 0.01, CPU, watch())
    assert (found.joules_per_image, found.stock_joules_per_image) == (3.0, 2.0)


def test_batch_that_does_not_fit_costs_only_its_own_number(both):
    def exhausted(images):
        raise torch.OutOfMemoryError("no memory")

    both[0].deployed.network.__class__ = type("Large", (Named,), {"__call__": lambda self, images: exhausted(images)})
    assert measure_throughput(both, PAIR, 4, 0.01, CPU, watch()) == [NoThroughput("out of memory at batch 4")]


def test_alone_is_the_network_and_whole_is_from_image_to_boxes(both):
    options = LatencyConfig(backend=Backend.onnxruntime, seconds=0.01, max_pairs=50, width=0.0)
    found = time_networks(both, PAIR, options, CPU, watch())
    alone, whole = found.alone.compare(0, 1), found.whole.compare(0, 1)
    assert (alone.ratio, whole.ratio) == (pytest.approx(4.0), pytest.approx(5.0))
    assert (alone.times[0], alone.stock_times[0], whole.times[0], whole.stock_times[0]) == (20.0, 5.0, 30.0, 6.0)


def test_memory_is_that_of_each():
    found = _memory(6.0, 2.0, CPU)
    assert (found.peak_mb, found.stock_peak_mb, found.ratio_to_stock) == (6.0, 2.0, 3.0)


@pytest.fixture
def recorded(stock, images, options, monkeypatch):
    """A whole measurement whose times are made up."""
    # The stock network is deployed with the first subject, before it.
    alone, whole = (np.array([np.linspace(t, t + 1, 101) for t in starts]) for starts in ((20, 10), (40, 30)))
    seen = Watched(False, None, MachineUse(0.0, 2))
    made_up = lambda *_: Timed(Rounds(alone, 1.0, 1.0), Rounds(whole, 1.0, 2.0), seen)  # noqa: E731
    monkeypatch.setattr(module, "time_networks", made_up)
    monkeypatch.setattr(module, "measure_throughput", lambda networks, pairs, size, *_: [size])
    return measure(stock, stock, replace(options, throughput_batches=[2, 4]), images=images, imgsz=64, device=CPU)


def test_quantiles_stand_under_their_names(recorded):
    record = recorded.latency
    names = ("p50_ms", "p95_ms", "p99_ms", "stock_p50_ms", "stock_p95_ms", "stock_p99_ms")
    assert [getattr(record, name) for name in names] == pytest.approx([10.5, 10.95, 10.99, 20.5, 20.95, 20.99])
    whole = record.end_to_end
    assert [getattr(whole, name) for name in names] == pytest.approx([30.5, 30.95, 30.99, 40.5, 40.95, 40.99])
    assert record.ratio_low <= record.ratio_to_stock <= record.ratio_high
    assert (record.ratio_to_stock, whole.ratio_to_stock) == pytest.approx((10.5 / 20.5, 30.5 / 40.5))
    assert (record.pairs, record.seconds, whole.seconds) == (101, 1.0, 2.0)
    assert record.throughput == {"2": 2, "4": 4}


def test_samples_stand_under_their_names(recorded):
    first = {name: times[0] for name, times in recorded.samples.items()}
    assert first == {"model_ms": 10, "stock_ms": 20, "end_to_end_model_ms": 30, "end_to_end_stock_ms": 40}


def test_text_has_each_number_in_its_row(recorded):
    quiet = replace(recorded.latency, throughput={}, memory=None, parity=None, busy=False, throttled=False)
    rows = dict(latency_rows(quiet))
    assert rows["latency p50, p95, p99"] == "10.50 ms, 10.95 ms, 10.99 ms"
    bounds = f"95 %: {quiet.ratio_low:.3f} to {quiet.ratio_high:.3f}"
    assert rows["latency / stock"] == f"0.512 ({bounds}; 101 pairs timed in turn), stock p50 20.50 ms"
    assert rows["end to end p50, p95, p99"] == "30.50 ms, 30.95 ms, 30.99 ms"
    bounds = f"95 %: {quiet.end_to_end.ratio_low:.3f} to {quiet.end_to_end.ratio_high:.3f}"
    assert rows["end to end / stock"] == f"0.753 ({bounds}; 101 pairs timed in turn)"


def test_networks_compute_with_the_threads_asked_for_and_images_have_the_size_asked_for(
    stock, images, options, monkeypatch
):
    before, seen = torch.get_num_threads(), []
    asked = before + 1

    def time_networks(networks, *_):
        ready = networks[0]
        seen.append((torch.get_num_threads(), ready.end.prepare(images[:1]).shape, len(ready.groups[0])))
        raise RuntimeError("enough")

    monkeypatch.setattr(module, "time_networks", time_networks)
    with pytest.raises(RuntimeError, match="enough"):
        measure(stock, stock, replace(options, threads=asked, batch=2), images=images, imgsz=96, device=CPU)
    assert seen == [(asked, (1, 3, 96, 96), 2)]
    assert torch.get_num_threads() == before


def test_deployed_are_the_model_and_then_the_stock_network_each_checked_against_itself(
    stock, grafted, images, options, monkeypatch
):
    checked = []

    def check_parity(deployed, model, *_):
        checked.append((sum(p.numel() for p in deployed.network.backend.model.parameters()), model))

    monkeypatch.setattr(module, "check_parity", check_parity)
    monkeypatch.setattr(module, "time_networks", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        measure(grafted, stock, options, images=images, imgsz=64, device=CPU)
    assert [model for _, model in checked] == [grafted, stock]
    assert checked[0][0] > checked[1][0]


@pytest.mark.parametrize(("backend", "threads"), [("onnxruntime", 1), ("onnxruntime", 2)])
def test_cpu_runtime_takes_as_many_threads_as_torch(backend, threads, monkeypatch):
    import onnxruntime

    from yolo26_attention.latency.backends import _configure, cpu_threads

    seen = []
    monkeypatch.setattr(onnxruntime, "InferenceSession", lambda file, options, providers: seen.append(options))
    network = SimpleNamespace(device=CPU, backend=SimpleNamespace(session=None))
    with cpu_threads(threads):
        _configure(network, backend, "fp32", Path("model.onnx"))
    assert [options.intra_op_num_threads for options in seen] == [threads]


def test_throughput_takes_its_share_of_the_time(both, monkeypatch):
    seen = []

    def time_in_turn(*given, **options):
        seen.append((options["seconds"], options["width"]))
        return Rounds(np.ones((2, 3)), 0.0, 1.0)

    monkeypatch.setattr(throughput, "time_in_turn", time_in_turn)
    measure_throughput(both, PAIR, 1, 10.0, CPU, watch())
    assert seen == [(1.0, 0.0)]


@pytest.mark.parametrize(("backend", "moved"), [("eager", 50), ("compiled", 0), ("onnxruntime", 0)])
def test_eager_networks_are_moved_about_in_memory_and_others_stay(backend, moved, both, monkeypatch):
    moves = []
    monkeypatch.setattr(timed, "Relocation", lambda networks, calls: lambda: moves.append(networks))
    options = LatencyConfig(backend=Backend[backend], max_pairs=25, width=0.0)
    time_networks(both, PAIR, options, CPU, watch())
    assert len(moves) == moved


def test_networks_are_deployed_for_the_largest_batch(stock, images, options, monkeypatch):
    seen = []

    def deploy(*given, batch, **others):
        seen.append(batch)
        raise RuntimeError("enough")

    monkeypatch.setattr(module, "deploy", deploy)
    with pytest.raises(RuntimeError, match="enough"):
        measure(stock, stock, replace(options, throughput_batches=[2, 16]), images=images, imgsz=64, device=CPU)
    assert seen == [16]


@pytest.mark.parametrize("state", [True, False])
def test_disturbed_machine_is_in_the_record(state, stock, images, options, monkeypatch):
    monkeypatch.setattr(timed.Machine, "stop", lambda self: Watched(state, not state, MachineUse(0.5, 7)))
    recorded = measure(
        stock, stock, replace(options, throughput_batches=[]), images=images, imgsz=64, device=CPU
    ).latency
    assert (recorded.busy, recorded.throttled, recorded.machine) == (state, not state, MachineUse(0.5, 7))
