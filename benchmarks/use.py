"""How quick the program is to use, beside what it is built on: python -m benchmarks.use [help] [loop] [first_batch].

Each part runs its contenders in turns, so that what slows the machine down for a while slows all of them:

help         `--help` and `--cfg job` beside a bare Hydra application: 0.3 s more at most
first_batch  from the command to the first batch, beside `yolo train` with the same arguments: 1.2 times as long at most
loop         an epoch of training beside Ultralytics' own trainer with the same arguments: 1.02 times as long at most
"""

import datetime
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

import numpy as np
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from benchmarks.first_batch import REACHED
from benchmarks.measure import ratios, relative, spread
from yolo26_attention.config.registration import register_configs, run_config
from yolo26_attention.plan.checks import Plan, check

ROOT = Path(__file__).parent.parent
OURS = ("attention=baseline",)
HELP_ROUNDS, BATCH_ROUNDS = 15, 7
# Where bytecode is not kept, our own modules alone would be compiled at every start: the others are installed.
USUAL = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
EPOCHS, ORDERS = 2, (("plain", "ours", "again"), ("ours", "again", "plain"), ("again", "plain", "ours"))
BARE = """import hydra

@hydra.main(config_path=".", config_name="config", version_base="1.3")
def main(config):
    print(config)

if __name__ == "__main__":
    main()
"""
Times = dict[str, list[tuple[float, float]]]  # seconds of the clock and of the CPU, a pair a round


def configured(output_dir: Path, *overrides: str) -> tuple[Plan, str]:
    """A checked configuration, and its text."""
    register_configs()
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        config = compose("config", [f"output_dir={output_dir}", *overrides])
    return check(run_config(config)), OmegaConf.to_yaml(config, resolve=True)


def cost(command: Sequence[str], environment: Mapping[str, str], status: int = 0) -> tuple[float, float]:
    """Seconds of a command, on the clock and of the CPU; those of processes that it leaves behind are not counted."""
    with tempfile.TemporaryFile() as output:
        start = time.perf_counter()
        process = subprocess.Popen(command, cwd=ROOT, env={**USUAL, **environment}, stdout=output, stderr=output)
        _, ended, used = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(ended)
        if process.returncode != status:
            output.seek(0)
            sys.exit(f"{' '.join(command)} ended with {process.returncode}: {output.read().decode()[-2000:]}")
    return seconds, used.ru_utime + used.ru_stime


def in_rounds(
    commands: Mapping[str, Sequence[str]],
    environments: Mapping[str, Mapping[str, str]],
    rounds: int,
    leftovers: Sequence[Path] = (),
    status: int = 0,
) -> Times:
    """What each command takes in each round, in which each has one turn; a first round is not kept."""
    times: Times = {name: [] for name in commands}
    for number in range(rounds + 1):
        for name, command in commands.items():
            for folder in leftovers:
                shutil.rmtree(folder, ignore_errors=True)
            taken = cost(command, environments.get(name, {}), status)
            if number:
                times[name].append(taken)
    return times


def table(times: Times, pairs: Sequence[tuple[str, str]], target: str, as_ratio: bool) -> Iterator[str]:
    """A row for each pair: ours, what it is compared with, and what lies between them, round by round."""
    what = "times as long" if as_ratio else "s more"
    yield f"| ours | beside | s | beside, s | {what} | CPU: {what} | target |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    for ours, other in pairs:
        own, beside = ([list(column) for column in zip(*times[name], strict=True)] for name in (ours, other))
        between = [
            ratios(a, b) if as_ratio else [x - y for x, y in zip(a, b, strict=True)]
            for a, b in zip(own, beside, strict=True)
        ]
        columns = [spread(own[0], 2), spread(beside[0], 2), spread(between[0], 2), spread(between[1], 2)]
        yield f"| `{ours}` | `{other}` | {' | '.join(columns)} | {target} |"


def help_report(folder: Path) -> Iterator[str]:
    """`--help` and `--cfg job`."""
    (folder / "bare.py").write_text(BARE)
    (folder / "config.yaml").write_text("seed: 0\nname: bare\n")
    commands, pairs = {}, []
    for flags in ("--help", "--cfg job"):
        ours, bare = f"python -m src.train {flags}", f"python bare.py {flags}"
        commands[bare] = [sys.executable, str(folder / "bare.py"), *flags.split()]
        commands[ours] = [sys.executable, "-m", "src.train", *flags.split()]
        pairs.append((ours, bare))
    yield f"A bare Hydra application (one file, a configuration of two keys) and ours, {HELP_ROUNDS} rounds."
    yield ""
    yield from table(in_rounds(commands, {}, HELP_ROUNDS), pairs, "0.3 or less", as_ratio=False)


def first_batch_report(folder: Path) -> Iterator[str]:
    """From the command to the first batch."""
    plan, _ = configured(folder, *OURS)
    ignored = {"task", "mode", "save_dir", "exist_ok"}
    arguments = [f"{key}={value}" for key, value in plan.arguments.items() if key not in ignored]
    run = [sys.executable, "-m", "benchmarks.first_batch"]
    yolo = [*run, "yolo", "train", *arguments, f"project={folder}/runs", "name=yolo", "exist_ok=True"]
    ours = [*run, "src.train", *OURS, f"output_dir={folder}"]
    offline = "python -m src.train attention=baseline"
    disabled, logged = f"{offline} tracking=disabled", "yolo train, with its W&B"
    commands = {"yolo train": yolo, disabled: [*ours, "tracking=disabled"], logged: yolo, offline: ours}
    plain, wandb = (
        {"YOLO_CONFIG_DIR": str(folder / f"settings-{name}"), "WANDB_MODE": "offline"} for name in ("plain", "wandb")
    )
    switch = "from ultralytics.utils import SETTINGS; SETTINGS.update(wandb=True)"
    cost([sys.executable, "-c", switch], wandb)
    environments = {name: wandb if name == logged else plain for name in commands}
    times = in_rounds(commands, environments, BATCH_ROUNDS, [folder / "runs", folder / "wandb"], REACHED)
    yield (
        f"YOLO26n on the embedded digits (which are there), the same arguments for both, {BATCH_ROUNDS} rounds, each "
        "with an empty folder for results. W&B writes offline, by a process of its own whose CPU time is not counted. "
        "Everything else is as a user has it."
    )
    yield ""
    pairs = [(disabled, "yolo train"), (offline, logged), (offline, "yolo train")]
    yield from table(times, pairs, "1.2 or less", as_ratio=True)


def loop_report(folder: Path) -> Iterator[str]:
    """An epoch of training."""
    configured(folder, *OURS)  # makes the data set
    environment = {**os.environ, "YOLO_CONFIG_DIR": str(folder / "settings"), "OMP_NUM_THREADS": "1"}
    taken = []
    for order in ORDERS:
        command = [sys.executable, "-m", "benchmarks.loops", str(folder), str(EPOCHS), *order]
        ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        if ended.returncode:
            sys.exit(ended.stderr[-3000:])
        taken.append(json.loads(ended.stdout.splitlines()[-1]))
        shutil.rmtree(folder / "runs", ignore_errors=True)
    yield (
        "An epoch of `trainer=quick` on the digits, one thread. Three trainings take turns in one process, a batch "
        "each: Ultralytics' trainer, the same again, and ours with its record, exact state and offline W&B. They draw "
        f"the same random numbers, and end each epoch with the same losses. {len(ORDERS)} processes, in which each has "
        f"another place, {EPOCHS} epochs each after a first one. Ratios to the first, with 95 % intervals in which "
        "the place, which matters as much, has an effect of its own."
    )
    yield ""
    yield from loop_table(taken)


def loop_table(taken: Sequence[Mapping[str, Sequence[Sequence[tuple[float, float]]]]]) -> Iterator[str]:
    """What the processes of ORDERS measured, as `benchmarks.loops` prints it."""
    names = ("plain", "again", "ours")
    places = np.array([[order.index(name) for name in names] for order in ORDERS])
    whole = np.array([[[np.sum(e, axis=0) for e in one[name]] for name in names] for one in taken])
    behind = np.array([[[e[-1] for e in one[name]] for name in names] for one in taken])
    yield "| of an epoch | Ultralytics, s | again | ours | target for ours |"
    yield "| --- | --- | --- | --- | --- |"
    for label, seconds, target in (
        ("its batches", whole - behind, ""),
        ("validation and checkpoints behind them", behind, ""),
        ("all", whole, "1.02 or less"),
    ):
        for column, clock in enumerate(("clock", "CPU")):
            own = seconds[..., column].swapaxes(1, 2)  # (processes, epochs, contenders)
            again, ours = relative(own, places)
            plain = float(np.exp(np.log(own[..., 0]).mean()))
            yield f"| {label}, {clock} | {plain:.2f} | {again} | {ours} | {target} |"


PARTS = {"help": help_report, "first_batch": first_batch_report, "loop": loop_report}


def main() -> None:
    if unknown := set(sys.argv[1:]) - set(PARTS):
        sys.exit(f"{unknown.pop()} is no part; the parts are {', '.join(PARTS)}")
    print(f"## {datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M} UTC, speed of use\n")
    packages = [f"{name} {version(name)}" for name in ("torch", "ultralytics", "hydra-core", "wandb")]
    machine = f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}"
    print(f"{machine}; Python {platform.python_version()}, {', '.join(packages)}.")
    print("Medians (quartiles); ratios and differences are taken within a round.")
    for name in sys.argv[1:] or PARTS:
        print(f"\n### {name}\n")
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            for line in PARTS[name](Path(folder)):
                print(line, flush=True)


if __name__ == "__main__":
    main()
