"""A study timed together from the folders of its runs, by a pretended instrument."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from tests.fabricate import config_of, declare, latency_of, write_run
from yolo26_attention.config.errors import ConfigError
from yolo26_attention.config.schema import Backend, LatencyConfig
from yolo26_attention.detector.stock import build_stock
from yolo26_attention.detector.trust import Trust
from yolo26_attention.files.folder import OutputFolder
from yolo26_attention.files.latency import Ratio
from yolo26_attention.files.locks import lock_file, run_lock
from yolo26_attention.files.timings import Timings
from yolo26_attention.latency.measure import Measurement
from yolo26_attention.run.measuring import CheckpointError
from yolo26_attention.study import timing
from yolo26_attention.study.timing import TimingOptions, time_study

DIGITS = {"name": "digits", "yaml": None, "train_images": 16, "val_images": 8, "test_images": 0, "imgsz": 64, "seed": 0}
LABELS = ("baseline", "acmix", "simam")


class Instrument:
    """Pretends to measure: each call makes every network slower, and says what it was asked for."""

    def __init__(self):
        self.calls, self.fails = [], {}

    def __call__(self, subjects, options, *, device):
        self.calls.append(SimpleNamespace(subjects=subjects, options=options, device=device))
        found = []
        for number, subject in enumerate(subjects):
            ratio = len(self.calls) + number / 10
            beside = None if subject.baseline is None else Ratio(ratio, ratio - 0.01, ratio + 0.01)
            timed = Measurement(latency_of(ratio, imgsz=subject.imgsz), {"model_ms": np.array([ratio])}, beside)
            found.append(self.fails.get(number, timed))
        return found


@pytest.fixture
def instrument(monkeypatch):
    pretended = Instrument()
    monkeypatch.setattr(timing, "measure_together", pretended)
    return pretended


@pytest.fixture(scope="module")
def network():
    return build_stock("yolo26n", classes=10, channels=3).eval()


@pytest.fixture
def study(tmp_path, network, monkeypatch, instrument):
    """A study of three variants and two seeds: its folder, and what names the runs."""
    (tmp_path / "data").mkdir()
    entries = []
    for label in LABELS:
        for seed in (0, 1):
            config = config_of({"name": label}, seed, data=DIGITS, trainer__single_cls=False, trainer__fraction=1.0)
            config["model"] = {"name": "yolo26n", "weights": None, "yaml": None}
            folder = write_run(tmp_path, config, 0.5)
            entries.append({"run": folder.name, "variant": label, "seed": seed, "baseline": "baseline"})
    again = {**entries[0], "variant": "baseline repeated", "baseline": "baseline repeated", "overrides": ["repeat=1"]}
    declare(tmp_path, "mine", [*entries, again])
    loaded = []

    def load_finished(record, folder, trust, device):
        loaded.append(folder.name)
        if (folder / "gone").exists():
            raise CheckpointError(f"{folder.name} has no best.pt")
        return network

    monkeypatch.setattr(timing, "load_finished", load_finished)
    return SimpleNamespace(folder=tmp_path, loaded=loaded)


def time_it(study, **latency):
    options = TimingOptions(LatencyConfig(**{"device": "cpu", "threads": 1, **latency}), Trust())
    return time_study(study.folder, "mine", options)


def run_of(study, label, seed):
    return next(path for path in (study.folder / "runs").iterdir() if path.name == f"{label}-12-s{seed}")


def kept(study):
    return Timings.read(OutputFolder(study.folder).timings("mine"))


def test_first_seed_of_each_variant_is_timed_with_one_stock_network(study, instrument):
    target, now = time_it(study)
    assert now
    (call,) = instrument.calls
    assert study.loaded == ["baseline-12-s0", "acmix-12-s0", "simam-12-s0"]
    assert [subject.baseline for subject in call.subjects] == [None, 0, 0]
    assert len({subject.key for subject in call.subjects}) == 1
    assert {subject.imgsz for subject in call.subjects} == {128}
    assert call.subjects[0].images[0].shape == (64, 64, 3)
    assert (call.options.threads, call.options.patience, str(call.device)) == (1, 120.0, "cpu")
    assert kept(study).targets == [target]
    assert list(target.variants) == list(LABELS)
    assert target.variants["simam"].to_baseline.ratio == pytest.approx(1.2)
    assert (target.variants["simam"].baseline, target.variants["baseline"].baseline) == ("baseline", None)
    (samples,) = (study.folder / "studies" / "mine").glob("timings-*.npz")
    assert np.load(samples)["simam model_ms"].tolist() == pytest.approx([1.2])


def test_same_target_is_timed_again_only_for_a_reason(study, instrument):
    first, _ = time_it(study)
    assert time_it(study) == (first, False)
    assert time_it(study, patience=5.0) == (first, False)
    longer, now = time_it(study, seconds=60.0)
    assert (now, kept(study).targets) == (True, [longer])
    again, now = time_it(study, seconds=60.0, again=True)
    assert (now, kept(study).targets, len(instrument.calls)) == (True, [again], 3)
    assert len(list((study.folder / "studies" / "mine").glob("timings-*.npz"))) == 1


def test_other_networks_are_timed_anew(study, instrument):
    time_it(study)
    (run_of(study, "acmix", 0) / "gone").touch()
    target, now = time_it(study)
    assert (now, target.runs["acmix"]) == (True, "acmix-12-s1")
    assert kept(study).targets == [target]


def test_further_targets_stand_beside_the_first(study, instrument, monkeypatch):
    first, _ = time_it(study)
    second, _ = time_it(study, backend=Backend.onnxruntime, imgsz=96)
    monkeypatch.setattr(timing, "cpu_model", lambda: "Another")
    third, _ = time_it(study)
    assert kept(study).targets == [first, second, third]
    assert {subject.imgsz for subject in instrument.calls[1].subjects} == {96}


def test_variant_without_a_network_is_left_out_with_the_reason(study, instrument):
    for seed in (0, 1):
        (run_of(study, "acmix", seed) / "gone").touch()
    instrument.fails[1] = RuntimeError("no such operator, see https://me:secret@host/path")
    target, _ = time_it(study)
    assert list(target.variants) == ["baseline"]
    assert target.failed == {
        "acmix": "acmix-12-s1 has no best.pt",
        "simam": "RuntimeError: no such operator, see https://***@host/path",
    }


def test_nothing_is_written_if_nothing_could_be_timed(study, instrument):
    instrument.fails.update({number: RuntimeError("no memory") for number in range(3)})
    with pytest.raises(ConfigError, match="nothing could be timed: baseline: RuntimeError: no memory"):
        time_it(study)
    assert kept(study).targets == []


def test_interrupted_measurement_keeps_what_was_timed_before(study, monkeypatch):
    first, _ = time_it(study)

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(timing, "measure_together", interrupted)
    with pytest.raises(KeyboardInterrupt):
        time_it(study, backend=Backend.onnxruntime)
    assert kept(study).targets == [first]
    assert time_it(study) == (first, False)


def test_study_that_another_process_times_is_left_to_it(study):
    with (
        run_lock(lock_file(study.folder, "timing-mine")),
        pytest.raises(ConfigError, match="is being timed by another process"),
    ):
        time_it(study)


def test_what_the_trainings_leave_open_is_asked_for(study):
    record = run_of(study, "simam", 0) / "record.json"
    content = json.loads(record.read_text())
    content["config"]["trainer"] |= {"device": "cpu", "threads": 2}
    record.write_text(json.dumps(content))
    with pytest.raises(ConfigError, match=r"several trainer\.threads \(2, None\); choose with latency\.threads"):
        time_it(study, threads=None)
    with pytest.raises(ConfigError, match=r"several devices \(None, cpu\); choose with latency\.device"):
        time_it(study, device=None)


def test_data_of_other_classes_are_refused(study, monkeypatch):
    monkeypatch.setattr(timing, "find_dataset", lambda *_: SimpleNamespace(names={0: "one"}, channels=3, yaml="a.yaml"))
    with pytest.raises(
        ConfigError, match=r"baseline was trained with 10 classes .* a\.yaml has 1 and 3; .* data\.yaml="
    ):
        time_it(study)


def test_data_set_is_looked_for_where_the_option_says(study):
    options = TimingOptions(LatencyConfig(device="cpu", threads=1), Trust(), data_yaml="nowhere.yaml")
    with pytest.raises(ConfigError, match=r"data\.yaml=nowhere\.yaml: the study was trained on the digits"):
        time_study(study.folder, "mine", options)
    for run in (study.folder / "runs").iterdir():
        content = json.loads((run / "record.json").read_text())
        content["config"]["data"] = {"name": "mine", "yaml": "somewhere.yaml", "download": False, "groups": None}
        (run / "record.json").write_text(json.dumps(content))
    with pytest.raises(ConfigError, match=r"nowhere\.yaml.*data\.yaml=PATH says where they are on this machine"):
        time_study(study.folder, "mine", options)
    with pytest.raises(ConfigError, match=r"somewhere\.yaml.*data\.yaml=PATH says where they are on this machine"):
        time_it(study)


def test_data_set_of_pascal_voc_is_found_by_its_folder_its_address_or_a_converted_yaml(study):
    for run in (study.folder / "runs").iterdir():
        content = json.loads((run / "record.json").read_text())
        voc = {"name": "zoo", "source": "/nowhere", "download": False, "url": None, "digest": None, "groups": None}
        content["config"]["data"] = voc
        (run / "record.json").write_text(json.dumps(content))
    latency = LatencyConfig(device="cpu", threads=1)
    for options, said in (
        (TimingOptions(latency, Trust()), r"data\.source=/nowhere: there is no such folder"),
        (TimingOptions(latency, Trust(), download=True), r"data=zoo needs data\.source=FOLDER"),
        (TimingOptions(latency, Trust(), data_yaml="converted.yaml"), r"there is no file .*converted\.yaml"),
    ):
        with pytest.raises(ConfigError, match=said):
            time_study(study.folder, "mine", options)


def test_size_that_does_not_fit_the_network_is_refused(study):
    with pytest.raises(ConfigError, match=r"latency\.imgsz=100 is not a multiple .* try 96 or 128"):
        time_it(study, imgsz=100)


def test_damaged_timings_are_not_overwritten(study):
    path = OutputFolder(study.folder).timings("mine")
    path.write_text("{}{")
    with pytest.raises(ConfigError, match=r"holds no timings .* move it away"):
        time_it(study)
    assert path.read_text() == "{}{"


def test_study_that_was_never_started_or_has_nothing_finished(study):
    with pytest.raises(ConfigError, match="study other was never started"):
        time_study(study.folder, "other", TimingOptions(LatencyConfig(), Trust()))
    for label in LABELS:
        for seed in (0, 1):
            (run_of(study, label, seed) / "record.json").unlink()
    with pytest.raises(ConfigError, match="study mine has nothing to time: baseline: none of its runs has finished"):
        time_it(study)


def test_device_of_the_trainings_that_is_not_here_is_named_with_the_way_out(study):
    for run in (study.folder / "runs").iterdir():
        content = json.loads((run / "record.json").read_text())
        content["config"]["trainer"]["device"] = "cuda:77"
        (run / "record.json").write_text(json.dumps(content))
    with pytest.raises(ConfigError, match=r"trainer\.device=cuda:77 does not exist; .*; latency\.device=cpu chooses"):
        time_it(study, device=None)
