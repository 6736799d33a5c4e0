"""What the machine does meanwhile: a burning process, a container's quota, a GPU that slows down."""

import os
import subprocess
import sys
import time
from types import SimpleNamespace

import psutil
import pynvml
import pytest
import torch

from yolo26_attention.files.latency import MachineUse
from yolo26_attention.latency import machine
from yolo26_attention.latency.machine import Gpu, Machine, Watched, worse

CPU = torch.device("cpu")


ZERO = psutil.cpu_times()._replace(**dict.fromkeys(psutil.cpu_times()._fields, 0.0))


def times(**seconds):
    """psutil's times of one CPU."""
    return ZERO._replace(**seconds)


@pytest.fixture
def watch(monkeypatch):
    """Watch a made-up machine of two CPUs for ten seconds."""

    def watched(after, own=0.0, cpus=(0, 1)):
        clock, used, mine = iter((0.0, 10.0)), iter(([times(), times()], after)), iter((0.0, own))
        monkeypatch.setattr(machine.time, "perf_counter", lambda: next(clock))
        monkeypatch.setattr(psutil, "cpu_times", lambda percpu: next(used))
        monkeypatch.setattr(machine, "_own_cpu_seconds", lambda: next(mine))
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(cpus), raising=False)
        return Machine(CPU).start().stop()

    return watched


def test_our_own_work_is_not_busy(watch):
    seen = watch([times(user=9.0, system=0.5), times(user=9.0)], own=18.4)
    assert (seen.busy, seen.use.others_cores) == (False, pytest.approx(0.01))


def test_a_pause_is_not_part_of_what_the_machine_did(monkeypatch):
    clock, mine = iter((0.0, 10.0, 100.0, 110.0)), iter((0.0, 10.0, 10.0, 20.0))
    used = iter([[times(user=user)] for user in (0.0, 10.0, 100.0, 110.0)])  # others work in the pause alone
    monkeypatch.setattr(machine.time, "perf_counter", lambda: next(clock))
    monkeypatch.setattr(psutil, "cpu_times", lambda percpu: next(used))
    monkeypatch.setattr(machine, "_own_cpu_seconds", lambda: next(mine))
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0}, raising=False)
    watched = Machine(CPU).start()
    assert not watched.lap().busy
    assert watched.lap(counted=False).busy
    assert (watched.stop().busy, watched._seconds) == (False, 20.0)


def test_work_of_others_is_busy(watch):
    seen = watch([times(user=9.0), times(user=9.0, idle=1.0)], own=9.0)
    assert (seen.busy, seen.use.others_cores) == (True, pytest.approx(0.9))


@pytest.mark.parametrize(
    ("seconds", "busy"), [pytest.param(0.9, False, id="below"), pytest.param(1.1, True, id="above-a-tenth-of-a-core")]
)
def test_threshold(watch, seconds, busy):
    assert watch([times(user=seconds), times()]).busy is busy


@pytest.mark.parametrize(
    ("kind", "busy"),
    [
        pytest.param("steal", True, id="taken-by-the-host"),
        pytest.param("iowait", False, id="waiting"),
        pytest.param("idle", False, id="idle"),
    ],
)
def test_kinds_of_time(watch, kind, busy):
    assert watch([times(**{kind: 5.0}), times()]).busy is busy


def test_cpus_that_we_may_not_use_do_not_count(watch):
    seen = watch([times(), times(user=10.0)], cpus=(0,))
    assert (seen.busy, seen.use.cpus) == (False, 1)


def test_burning_process_is_seen():
    watched = Machine(CPU).start()
    burner = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        time.sleep(1.0)
        seen = watched.stop()
    finally:
        burner.kill()
        burner.wait()
    assert seen.busy


def test_quota_of_a_container(monkeypatch, tmp_path):
    stat = tmp_path / "cpu.stat"
    monkeypatch.setattr(machine, "CGROUP", stat)
    monkeypatch.setattr(machine, "THERMAL", str(tmp_path / "none{}"))
    assert Machine(CPU).start().stop().throttled is None
    stat.write_text("nr_periods 5\nnr_throttled 1\n")
    watched = Machine(CPU).start()
    assert watched.stop().throttled is False
    stat.write_text("nr_periods 9\nnr_throttled 2\n")
    assert watched.stop().throttled is True


@pytest.fixture
def card(monkeypatch):
    """NVML of a card whose readings a test sets."""
    readings = SimpleNamespace(reasons=0x1, processes=[1], joules=1000, watts=250_000, mig=[0, 0])
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: SimpleNamespace(uuid="abc"))
    monkeypatch.setattr(pynvml, "nvmlInit", lambda: None)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetHandleByUUID", lambda uuid: uuid)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetMigMode", lambda handle: readings.mig)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetClockInfo", lambda handle, kind: 1700 + kind)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetPowerUsage", lambda handle: readings.watts)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetTemperature", lambda handle, kind: 60)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetCurrentClocksThrottleReasons", lambda handle: readings.reasons)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetComputeRunningProcesses", lambda handle: readings.processes)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetTotalEnergyConsumption", lambda handle: readings.joules)
    return readings


def test_gpu_is_found_by_its_uuid_whatever_is_visible(card):
    assert Gpu(torch.device("cuda:1")).handle == "GPU-abc"


@pytest.mark.parametrize(
    ("reasons", "named"),
    [
        pytest.param(0x1, [], id="idle"),
        pytest.param(0x2, [], id="clocks-set-by-somebody"),
        pytest.param(0x4, ["power cap"], id="power"),
        pytest.param(0x8 | 0x40, ["hardware slowdown", "thermal, by hardware"], id="hot"),
    ],
)
def test_throttled_gpu(card, reasons, named):
    watched = Machine(torch.device("cuda")).start()
    watched.sample()
    card.reasons = reasons
    watched._sampled = -1.0
    watched.sample()
    seen = watched.stop()
    assert (seen.use.gpu.throttle_reasons, seen.throttled) == (named, bool(named))
    assert seen.use.gpu.watts == 250.0
    assert seen.use.gpu.sm_clock_mhz == [1700 + pynvml.NVML_CLOCK_SM] * 2


@pytest.mark.parametrize(("slowed", "throttled"), [(2, True), (1, None)])
def test_a_cpu_that_throttles_is_told_where_the_gpu_tells_nothing(slowed, throttled, card, monkeypatch, tmp_path):
    stat = tmp_path / "cpu.stat"
    monkeypatch.setattr(machine, "CGROUP", stat)
    monkeypatch.setattr(machine, "THERMAL", str(tmp_path / "none{}"))
    stat.write_text("nr_throttled 1\n")
    watched = Machine(torch.device("cuda")).start()  # without a sample, as without NVML
    stat.write_text(f"nr_throttled {slowed}\n")
    assert watched.stop().throttled is throttled


@pytest.mark.parametrize(
    ("second", "busy", "throttled", "cores"),
    [
        pytest.param((False, None, 0.0), False, False, 0.02, id="quiet"),
        pytest.param((True, True, 1.5), True, True, 1.5, id="disturbed"),
    ],
)
def test_the_worse_of_two_times_is_told(second, busy, throttled, cores):
    first = Watched(False, False, MachineUse(0.02, 2))
    seen = worse(first, Watched(*second[:2], MachineUse(second[2], 2)))
    assert (seen.busy, seen.throttled, seen.use.others_cores) == (busy, throttled, cores)


def test_another_process_on_the_gpu_is_busy(card, monkeypatch):
    monkeypatch.setattr(machine, "BUSY_CORES", 100.0)
    card.processes = [1, 2]
    watched = Machine(torch.device("cuda")).start()
    watched.sample()
    assert watched.stop().busy is True


def refuse(*_):
    raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_FOUND)


def by_uuid(uuid):
    return uuid if uuid.startswith("MIG-") else refuse()


@pytest.mark.parametrize("found_by", ["uuid_of_the_gpu", "uuid_of_the_instance"])
def test_what_other_tenants_of_a_divided_gpu_do_is_not_ours(found_by, card, monkeypatch):
    monkeypatch.setattr(machine, "BUSY_CORES", 100.0)
    card.mig, card.processes = [1, 1], [1, 2, 3]
    if found_by == "uuid_of_the_instance":
        monkeypatch.setattr(pynvml, "nvmlDeviceGetHandleByUUID", by_uuid)
        monkeypatch.setattr(pynvml, "nvmlDeviceGetDeviceHandleFromMigDeviceHandle", lambda handle: f"whole of {handle}")
    watched = Machine(torch.device("cuda")).start()
    watched.sample()
    seen = watched.stop()
    assert watched.gpu.joules() is None
    assert seen.busy is False
    assert (seen.use.gpu.mig, seen.use.gpu.watts, seen.use.gpu.processes) == (True, None, None)
    assert seen.use.gpu.sm_clock_mhz is not None


def test_a_gpu_that_cannot_be_divided_is_ours(card, monkeypatch):
    monkeypatch.setattr(pynvml, "nvmlDeviceGetMigMode", refuse)
    assert Gpu(torch.device("cuda")).joules() == 1.0


def test_gpu_is_read_now_and_then_only(card):
    watched = Machine(torch.device("cuda")).start()
    watched.sample()
    watched.sample()
    assert len(watched.gpu.samples) == 1


def test_energy(card):
    assert Gpu(torch.device("cuda")).joules() == 1.0


def test_what_the_card_does_not_tell_is_none_and_said(card, monkeypatch):
    def refuse(*_):
        raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)

    monkeypatch.setattr(pynvml, "nvmlDeviceGetCurrentClocksThrottleReasons", refuse)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetTotalEnergyConsumption", refuse)
    watched = Machine(torch.device("cuda")).start()
    watched.sample()
    seen = watched.stop()
    assert watched.gpu.joules() is None
    assert seen.throttled is None
    assert seen.use.gpu.error == "Not Supported"


def test_no_driver(card, monkeypatch):
    def refuse():
        raise pynvml.NVMLError(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)

    monkeypatch.setattr(pynvml, "nvmlInit", refuse)
    watched = Machine(torch.device("cuda")).start()
    watched.sample()
    seen = watched.stop()
    assert (seen.throttled, seen.use.gpu.error) == (None, "NVML Shared Library Not Found")
