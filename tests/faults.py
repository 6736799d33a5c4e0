"""What can go wrong around a run, done on purpose: each fault is one line of FAULTS, and says what could be seen.

tests/test_faults.py holds every one to what is expected; `python -m benchmarks.faults` prints the table.
"""

import errno
import json
import logging
import os
import pickle
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import psutil
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf
from PIL import Image

from src.checks import ConfigError, check
from src.config import register_configs
from src.journal import read_journal
from src.record import Record, RunSkippedError
from src.resuming import Resuming
from src.runner import DiskFullError, run
from tests.conftest import CONF, beside

ROOT = Path(__file__).parent.parent
PETS = "path: {folder}\ntrain: images/train\nval: images/val\nnames: [cat, dog]\n"
EPOCHS = ("attention=baseline", "trainer.epochs=3")


@dataclass(frozen=True)
class Fault:
    """One way in which things go wrong.

    Args:
        done: in words.
        happens: given an empty folder, does it and returns what could be seen.
        expected: regular expression of that.
        lost: by the user, in words.
        slow: whether it starts whole programs.
    """

    done: str
    happens: Callable[[Path], str]
    expected: str
    lost: str = "nothing"
    slow: bool = False


def configuration(folder: Path, *overrides: str) -> dict[str, Any]:
    """A small run's configuration as plain values; outputs go to the folder."""
    own = any(override.startswith("data.yaml=") for override in overrides)
    register_configs()
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        small = [option for option in beside(overrides) if own is False or not option.startswith("data.")]
        config = compose("config", [f"output_dir='{folder}/outputs'", *small, *overrides])
    return OmegaConf.to_container(config, resolve=True, throw_on_missing=True, enum_to_str=True)


def checked(folder: Path, *overrides: str) -> str:
    """Whether a configuration is refused, and how."""
    try:
        check(configuration(folder, *overrides))
    except ConfigError as error:
        return f"refused: {error}"
    return "accepted"


def pets(folder: Path) -> Path:
    """A data set of two images a split; its YAML."""
    for split in ("train", "val"):
        for name in ("a.jpg", "b.png"):
            image, label = folder / "images" / split / name, folder / "labels" / split / f"{name[0]}.txt"
            image.parent.mkdir(parents=True, exist_ok=True)
            label.parent.mkdir(parents=True, exist_ok=True)
            noise = np.random.default_rng(len(name)).integers(0, 255, (64, 64, 3), dtype=np.uint8)
            Image.fromarray(noise).save(image)
            label.write_text("0 0.5 0.5 0.2 0.2\n\n1 0.3 0.3 0.1 0.1\n")
    (folder / "pets.yaml").write_text(PETS.format(folder=folder))
    return folder / "pets.yaml"


def with_label(content: str | bytes) -> Callable[[Path], str]:
    """A label's content, as one damaged line behind a good one."""

    def happens(folder: Path) -> str:
        yaml = pets(folder)
        line = content if isinstance(content, bytes) else content.encode()
        (folder / "labels/train/a.txt").write_bytes(b"0 0.5 0.5 0.2 0.2\n" + line)
        return checked(folder, f"data.yaml={yaml}")

    return happens


def with_file(name: str, damage: Callable[[Path], object]) -> Callable[[Path], str]:
    """A damaged file of a data set."""

    def happens(folder: Path) -> str:
        yaml = pets(folder)
        damage(folder / name)
        return checked(folder, f"data.yaml={yaml}")

    return happens


def cut(path: Path) -> None:
    """Cut a file short."""
    os.truncate(path, path.stat().st_size * 2 // 3)


def garbage(path: Path) -> None:
    """Overwrite a file with noise."""
    path.write_bytes(np.random.default_rng(0).bytes(4096))


def empty(path: Path) -> None:
    """Leave nothing of a file."""
    path.write_bytes(b"")


def no_objects(path: Path) -> None:
    """Empty every label of a folder."""
    for label in path.iterdir():
        label.write_text("\n")


class Call:
    """Unpickled, it calls what it was given."""

    def __init__(self, *call: Any) -> None:
        self.call = call

    def __reduce__(self) -> tuple[Any, Any]:
        return self.call[0], self.call[1:]


@contextmanager
def warnings() -> Iterator[list[str]]:
    """The program's own log, from warnings up."""
    said: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda entry: said.append(entry.getMessage())  # type: ignore[method-assign]
    logging.getLogger("src").addHandler(handler)
    try:
        yield said
    finally:
        logging.getLogger("src").removeHandler(handler)


def files(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def asked_again(name: str, damage: Callable[[Path], object]) -> Callable[[Path], str]:
    """A finished run of which one file is damaged, and which is asked for again."""

    def happens(folder: Path) -> str:
        plan = check(configuration(folder, "attention=baseline"))
        run(plan, "")
        damage(plan.folder / name)
        before = files(plan.folder)
        with warnings() as said:
            try:
                _, trained = run(plan, "")
                text = "trained" if trained else "finished before, nothing trained"
            except RunSkippedError as error:
                text = f"refused: {error}"
        changed = files(plan.folder) != before
        return "; ".join([text, *said, "files changed" if changed else "every file as it was"])

    return happens


def damaged_cache(content: Callable[[Path, Path], bytes]) -> Callable[[Path], str]:
    """A label cache that is not what it should be; `content` is given the cache and a file that nobody may make."""

    def happens(folder: Path) -> str:
        plan = check(configuration(folder, "attention=baseline", "force=true"))
        first, _ = run(plan, "")
        (cache,) = plan.dataset.yaml.parent.glob("labels/train.cache")
        cache.write_bytes(content(cache, folder / "marker"))
        again, _ = run(plan, "")
        made = "its code ran" if (folder / "marker").exists() else "no code ran"
        whole = np.load(cache, allow_pickle=True).item()["results"]
        same = "same metrics" if again.metrics == first.metrics else "other metrics"
        return f"{again.status} with the {same}; {made}; cache scanned anew: {whole}"

    return happens


def hostile_cache(cache: Path, marker: Path) -> bytes:
    """A cache with code in it."""
    header = cache.read_bytes()
    return header[: header.index(b"\n") + 1] + pickle.dumps(Call(os.system, f"touch {marker}"))


def at_epoch(epoch: int, action: Callable[[], object]) -> Any:
    """Let something happen once, when an epoch begins."""
    begin, done = Resuming._begin_epoch, []

    def begun(self: Any) -> None:
        begin(self)
        if self.epoch == epoch and not done:
            done.append(True)
            action()

    return mock.patch.object(Resuming, "_begin_epoch", begun)


def outcome(folder: Path, *overrides: str) -> str:
    """The end of a run, with its events."""
    plan = check(configuration(folder, *overrides))
    with warnings() as said:
        record, _ = run(plan, "")
    epochs = sum(entry["event"] == "epoch" for entry in read_journal(plan.folder / "journal.jsonl"))
    events = [f"{event['event']} ({event.get('problem') or event.get('dropped')})" for event in record.events]
    negative = "; negative seconds" if record.seconds < 0 else ""
    return "; ".join([f"{record.status} after {epochs} epochs{negative}", *said, *events])


def without_wandb(folder: Path) -> str:
    """W&B's own process is killed in mid-run; a second run in the same process has one again."""

    def kill() -> None:
        for process in psutil.Process().children(recursive=True):
            if "wandb-core" in process.name() or "wandb-core" in " ".join(process.cmdline()):
                process.send_signal(signal.SIGKILL)
                process.wait()

    with at_epoch(1, kill):
        first = outcome(folder, *EPOCHS, "tracking=offline")
    return f"{first}; the next run: {outcome(folder, *EPOCHS, 'seed=1', 'tracking=offline')}"


def with_clock(*jumps: float) -> Callable[[Path], str]:
    """The wall clock jumps at each epoch that follows the first, by so many seconds in all."""

    def happens(folder: Path) -> str:
        real, ahead = time.time, [0.0]
        left = list(jumps)
        begin = Resuming._begin_epoch

        def begun(self: Any) -> None:
            begin(self)
            if self.epoch > 0 and left:
                ahead[0] = left.pop(0)

        with (
            mock.patch.object(Resuming, "_begin_epoch", begun),
            mock.patch("time.time", side_effect=lambda: real() + ahead[0]),
        ):
            return outcome(folder, *EPOCHS, "latency=default", "latency.seconds=0.1")

    return happens


def dropped(folder: Path) -> str:
    """An image that Ultralytics does not take, and that only decoding it would tell."""
    yaml = pets(folder)
    Image.new("RGB", (6, 6)).save(folder / "images/train/b.png")
    return outcome(folder, "attention=baseline", f"data.yaml={yaml}", "trainer.fraction=1.0")


def odd_paths(folder: Path) -> str:
    """Outputs, data and weights in folders with blanks and Chinese characters."""
    odd = folder / "my runs 实验 é"
    odd.mkdir()
    yaml = pets(odd / "数据 set")
    start = check(configuration(folder, "attention=acmix", "placement=p3"))
    run(start, "")
    weights = odd / "权 weights.pt"
    shutil.copy(start.folder / "train/weights/best.pt", weights)
    return outcome(
        odd, "attention=acmix", "placement=p3", f"data.yaml='{yaml}'", f"model.weights='{weights}'", "tracking=offline",
        "trainer.fraction=1.0", "trainer.plots=true",
    )  # fmt: skip


@contextmanager
def mounted(folder: Path, *options: str) -> Iterator[Path]:
    """A small file system of its own; only root may mount one."""
    place = folder / "mounted"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", ",".join(["size=400m", *options]), "tmpfs", place], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", place], check=True)


def read_only(folder: Path) -> str:
    """Outputs on a file system that is mounted read-only."""
    with mounted(folder, "ro") as place:
        return checked(place, "attention=baseline")


def turned_read_only(folder: Path) -> str:
    """Nothing can be written any more from the second epoch on, as when a disk fails; then it is mended."""
    plan = check(configuration(folder, *EPOCHS))
    failing = mock.patch("src.record.os.fsync", side_effect=OSError(errno.EROFS, os.strerror(errno.EROFS)))
    try:
        with at_epoch(1, failing.start):
            run(plan, "")
        text = "not stopped"
    except DiskFullError as error:
        text = f"stopped: {re.sub(r'/[^ ]+', 'FOLDER', str(error))}"
    finally:
        failing.stop()
    before = Record.read(plan.folder)
    record, _ = run(plan, "")
    return f"{text}; record {before and before.status}; then {record.status}; {[e['event'] for e in record.events]}"


def full_disk(folder: Path) -> str:
    """The file system is full when the second checkpoint is written; then there is room again."""
    with mounted(folder) as place:
        plan = check(configuration(place, *EPOCHS))
        filler = place / "filler"

        def fill() -> None:
            filler.write_bytes(bytes(shutil.disk_usage(place).free - 10**6))

        try:
            with at_epoch(1, fill):
                run(plan, "")
            text = "not full"
        except DiskFullError as error:
            text = f"stopped: {re.sub(r'/[^ ]+', 'FOLDER', str(error))}"
        filler.unlink()
        record, _ = run(plan, "")
        return f"{text}; then {record.status}; {[event['event'] for event in record.events]}"


def program(*arguments: str, environment: dict[str, str] | None = None, without: tuple[str, ...] = ()) -> str:
    """The last lines of a program, its exit status first."""
    kept = {key: value for key, value in os.environ.items() if key not in without}
    kept |= environment or {}
    result = subprocess.run([sys.executable, "-m", *arguments], cwd=ROOT, capture_output=True, text=True, env=kept)
    lines = [line for line in result.stderr.splitlines() if line.strip()]
    trace = "with a traceback" if "Traceback" in result.stderr else "without a traceback"
    return f"exit status {result.returncode} {trace}: {' '.join(lines[-4:])}"


def homeless(home: str | None) -> Callable[[Path], str]:
    """No home directory that can be written, and no folder for Ultralytics' settings."""

    def happens(folder: Path) -> str:
        said = program(
            "src.train", "attention=baseline", *beside(["tracking=offline"]), "tracking=offline",
            f"output_dir={folder}/outputs",
            environment={} if home is None else {"HOME": home}, without=("HOME", "YOLO_CONFIG_DIR"),
        )  # fmt: skip
        states = [json.loads(path.read_text())["status"] for path in folder.glob("outputs/runs/*/record.json")]
        return f"{said[: said.index(':')]}; {states}"

    return happens


def odd_argument(folder: Path) -> str:
    """A path that Hydra's grammar does not take as it is."""
    return program("src.train", f"output_dir={folder}/a=b")


def own_yaml(content: bytes) -> Callable[[Path], str]:
    """A YAML of one's own attention."""

    def happens(folder: Path) -> str:
        (folder / "attention").mkdir()
        (folder / "attention" / "mine.yaml").write_bytes(content)
        return program("src.train", "-cd", str(folder), "attention=mine", "--cfg", "job", "--package", "attention")

    return happens


def study_yaml(content: bytes) -> Callable[[Path], str]:
    """A study file of one's own."""

    def happens(folder: Path) -> str:
        from src.study.definition import load_study

        (folder / "mine.yaml").write_bytes(content)
        try:
            return f"read: {load_study(str(folder / 'mine.yaml')).question}"
        except ConfigError as error:
            return f"refused: {error}"

    return happens


STUDY = b"question: why\nseeds: [0]\nvariants:\n  baseline: {attention: baseline}\n"
OWN = b"name: mine\n_target_: mine.Mine\n"
MARK = b"\xef\xbb\xbf"
BEST, LAST = "train/weights/best.pt", "train/weights/last.pt"
LABEL = r"refused: .*train cannot be used whole: .*a\.txt, line 2 "
IMAGE = r"refused: .*train cannot be used whole: .*"
NO_RECORD = r"refused: .*record\.json is not a record .*; move .* away to run it anew; every file as it was$"
DAMAGED = r"nothing trained; .*best\.pt cannot be read .*; force=true .*; every file as it was$"
RESCANNED = r"finished with the same metrics; no code ran; cache scanned anew: \(16, 0, 0, 0, 16\)"
GOES_ON = r"; then finished; \['resume'\]"
EPOCH = "the epoch in progress"
NO_WANDB = (
    "finished after 3 epochs; Weights & Biases failed.*; tracking_lost .*; the next run: finished after 3 epochs$"
)
FAULTS = [
    Fault("label: a value is NaN", with_label("0 nan 0.5 0.2 0.2"), LABEL + "has a value that is not finite"),
    Fault("label: negative width", with_label("0 0.5 0.5 -0.2 0.2"), LABEL + r"has -0\.2; coordinates are shares"),
    Fault("label: coordinates in pixels", with_label("0 320 240 50 50"), LABEL + r"has 320; coordinates are shares"),
    Fault("label: class out of range", with_label("7 0.5 0.5 0.2 0.2"), LABEL + "has class 7, and names: has 0 to 1"),
    Fault("label: class -1", with_label("-1 0.5 0.5 0.2 0.2"), LABEL + "has class -1; classes are whole numbers"),
    Fault("label: class 0.5", with_label("0.5 0.5 0.5 0.2 0.2"), LABEL + r"has class 0\.5; classes are whole"),
    Fault("label: six columns", with_label("0 0.5 0.5 0.2 0.2 0.9"), LABEL + "has 6 columns; it needs 5"),
    Fault("label: four columns", with_label("0 0.5 0.5 0.2"), LABEL + "has 4 columns; it needs 5"),
    Fault("label: a word", with_label("cat 0.5 0.5 0.2 0.2"), LABEL + "is no row of numbers: 'cat 0.5"),
    Fault("label: a polygon among boxes", with_label("0 .1 .1 .2 .2 .3 .1"), LABEL + "is a box among polygons, or"),
    Fault("label: not UTF-8", with_label(b"\xff\xfe0"), r"refused: .*a\.txt is not text in UTF-8"),
    Fault("label: one is empty", with_file("labels/train/a.txt", empty), "accepted", "nothing: a background"),
    Fault("label: all are empty", with_file("labels/train", no_objects), r"refused: .*no label of train has an object"),
    Fault("image: JPEG cut short", with_file("images/train/a.jpg", cut), IMAGE + r"a\.jpg does not end as a JPEG does"),
    Fault("image: JPEG is noise", with_file("images/train/a.jpg", garbage), IMAGE + r"a\.jpg is no whole image"),
    Fault("image: PNG cut short", with_file("images/train/b.png", cut), IMAGE + r"b\.png is no whole image"),
    Fault("image: PNG is noise", with_file("images/train/b.png", garbage), IMAGE + r"b\.png is no whole image"),
    Fault("image: empty file", with_file("images/train/b.png", empty), IMAGE + r"b\.png is no whole image"),
    Fault("image: smaller than 10 px", dropped, r"finished .*; images_dropped \(1\)", "that image; an event says so"),
    Fault("label cache: cut short", damaged_cache(lambda cache, _: cache.read_bytes()[:200]), RESCANNED),
    Fault("label cache: noise", damaged_cache(lambda *_: b"\x93NUMPY" + bytes(99)), RESCANNED),
    Fault("label cache: with code in it", damaged_cache(hostile_cache), RESCANNED),
    Fault("finished run: record.json cut short", asked_again("record.json", cut), NO_RECORD),
    Fault("finished run: record.json is noise", asked_again("record.json", garbage), NO_RECORD),
    Fault("finished run: best.pt cut short", asked_again(BEST, cut), DAMAGED),
    Fault("finished run: best.pt is noise", asked_again(BEST, garbage), DAMAGED),
    Fault("finished run: last.pt cut short", asked_again(LAST, cut), "nothing trained; every file as it was$"),
    Fault("study YAML: byte-order mark", study_yaml(MARK + STUDY), "read: why"),
    Fault("study YAML: tab", study_yaml(STUDY + b"\tacmix: {}\n"), r"refused: .*mine\.yaml cannot be read as YAML"),
    Fault("study YAML: Latin-1", study_yaml(STUDY.replace(b"y", b"\xe9")), r"refused: .*mine\.yaml cannot be read"),
    Fault("attention YAML: byte-order mark", own_yaml(MARK + OWN), "exit status 0 without a traceback"),
    Fault("attention YAML: tab", own_yaml(OWN + b"\tx: 1\n"), r"exit status 1 .*mine\.yaml.*line 3"),
    Fault("output_dir: with =", odd_argument, r"exit status 1 without a traceback: error: .*needs quotes .*/a=b'"),
    Fault("output_dir: read-only file system", read_only, "refused: output_dir=.* cannot be"),
    Fault(
        "disk turns read-only",
        turned_read_only,
        r"stopped: .*cannot be written any more \(Read-only.*" + GOES_ON,
        EPOCH,
    ),
    Fault("disk fills up during a checkpoint", full_disk, "stopped: .*has no room.*" + GOES_ON, EPOCH),
    Fault("W&B's process killed", without_wandb, NO_WANDB, "what W&B had not written; an event says so"),
    Fault("clock set back by a day, then on by two", with_clock(-86400.0, 86400.0), "^finished after 3 epochs$"),
    Fault("blanks and Chinese characters in paths", odd_paths, "^finished after 1 epochs$"),
    Fault("HOME not set", homeless(None), r"status 0 without a traceback; \['finished'\]", slow=True),
    Fault("HOME not writable", homeless("/proc/no"), r"status 0 without a traceback; \['finished'\]", slow=True),
]
