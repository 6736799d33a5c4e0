"""The first ten minutes on a GPU, in one command: python -m benchmarks.gpu_day [out=FOLDER] [wheels=FOLDER] [dry=true].

Each section runs in a process of its own with a time limit; its rows, its log and its error are kept whatever happens.
The page of verdicts is written again after each section. It needs a checkout, PyTorch and Triton, and no network.

    out      folder of page.md, results.json and log.txt; default: $OUT, else outputs/gpu-day
    only     names of sections, such as only=machine,kernels; default: all
    wheels   folder with wheels of what the machine lacks, to install beside the checkout; `wheels=list` prints which
    dry      true: on a CPU, with small sizes, Triton's interpreter and a pretended NVML
    seconds  total; default 540
"""

import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

from benchmarks.gpu_day_page import Outcome, page

ROOT = Path(__file__).parent.parent
WHEELS = Path(__file__).with_name("gpu_day_wheels.txt")
# Names and limits in seconds, in order of what would be missed most.
SECTIONS = {
    "machine": 20,
    "tests": 60,
    "trainings": 90,
    "convolutions": 40,
    "kernels": 60,
    "steps": 70,
    "deployed": 110,
    "run": 40,
    "rest": 60,
}
DRY_FACTOR = 10  # a CPU that others share is slower
LEAST = 5.0  # seconds: a section is not started with less


class Options(NamedTuple):
    """The command line."""

    out: Path
    only: tuple[str, ...]
    wheels: str | None
    dry: bool
    seconds: float


def parse(arguments: list[str]) -> Options:
    """Options from key=value; exits with the known ones if there is another."""
    given = dict(argument.partition("=")[::2] for argument in arguments)
    if unknown := set(given) - set(Options._fields):
        sys.exit(f"error: {', '.join(sorted(unknown))}: no such option; there are {', '.join(Options._fields)}")
    only = tuple(given.get("only", ",".join(SECTIONS)).split(","))
    if unknown := set(only) - set(SECTIONS):
        sys.exit(
            f"error: only={given['only']}: no section {', '.join(sorted(unknown))}; there are {', '.join(SECTIONS)}"
        )
    if given.get("dry", "false") not in ("true", "false"):
        sys.exit(f"error: dry={given['dry']}: try true or false")
    dry = given.get("dry") == "true"
    out = Path(given.get("out") or os.environ.get("OUT") or "outputs/gpu-day").absolute()
    return Options(out, only, given.get("wheels"), dry, float(given.get("seconds", 540 * (DRY_FACTOR if dry else 1))))


def environment(options: Options, work: Path) -> dict[str, str]:
    """Variables of the sections' processes: this checkout, installed wheels, caches in the working folder."""
    site = work / "site"
    site.mkdir(parents=True, exist_ok=True)
    if options.wheels is not None:
        files = sorted(map(str, Path(options.wheels).glob("*.whl")))
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--target", str(site)]
        subprocess.run([*command, *files], check=True)
    for package in (
        "yolo26_attention",
        "hydra_plugins",
    ):  # `src` itself has a profile.py, a name of the standard library's
        link = site / package
        link.unlink(missing_ok=True)
        link.symlink_to(ROOT / "src" / package)
    if importlib.util.find_spec("polars") is None:
        # Ultralytics imports it in each epoch, and catches that it cannot read results.csv with it.
        (site / "polars.py").write_text("")
    own = {
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(site), os.environ.get("PYTHONPATH", "")]),
        "YOLO_CONFIG_DIR": str(work),
        "YOLO_OFFLINE": "true",
        "TRITON_CACHE_DIR": str(work / "triton"),
        "TORCHINDUCTOR_CACHE_DIR": str(work / "inductor"),
        "GPU_DAY_WORK": str(work),
        "GPU_DAY_DRY": "1" if options.dry else "",
        "PYTHONUNBUFFERED": "1",
    }
    if options.dry:
        own |= {"CUDA_VISIBLE_DEVICES": "", "TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"}
    return {**os.environ, **own}


def run_section(name: str, limit: float, work: Path, variables: dict[str, str]) -> Outcome:
    """Run a section in a process group of its own, and end the group when its time is over."""
    rows, log = work / f"{name}.jsonl", work / f"{name}.log"
    rows.unlink(missing_ok=True)
    begun = time.monotonic()
    with log.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.gpu_day_sections", name, str(rows)],
            cwd=ROOT, env=variables, stdout=file, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        try:
            code = process.wait(timeout=limit)
            state = "done" if code == 0 else f"failed with status {code}"
        except subprocess.TimeoutExpired:
            state = f"cut off after {limit:.0f} s"
        try:
            os.killpg(process.pid, signal.SIGKILL)  # what it started as well
        except ProcessLookupError:
            pass
        process.wait()
    kept = rows.read_text().splitlines() if rows.exists() else []
    complete = [line for line in kept if line.endswith("}")]
    text = log.read_text(errors="replace")
    return Outcome(name, state, time.monotonic() - begun, [json.loads(line) for line in complete], text)


def main() -> None:
    options = parse(sys.argv[1:])
    if options.wheels == "list":
        print(WHEELS.read_text(), end="")
        return
    work = ROOT / "outputs" / ("gpu-day-dry" if options.dry else "gpu-day-work")
    shutil.rmtree(work / "runs", ignore_errors=True)
    work.mkdir(parents=True, exist_ok=True)
    options.out.mkdir(parents=True, exist_ok=True)
    end = time.monotonic() + options.seconds
    variables = environment(options, work)
    outcomes: list[Outcome] = []
    for name in options.only:
        left = end - time.monotonic()
        if left < LEAST:
            outcomes.append(Outcome(name, "not started: no time was left", 0.0, [], ""))
            continue
        print(f"{name} ...", end=" ", flush=True)
        limit = min(SECTIONS[name] * (DRY_FACTOR if options.dry else 1), left)
        outcomes.append(run_section(name, limit, work, variables))
        print(f"{outcomes[-1].state}, {outcomes[-1].seconds:.0f} s", flush=True)
        (options.out / "page.md").write_text(page(outcomes, options.dry))
        (options.out / "results.json").write_text(json.dumps([one._asdict() for one in outcomes], indent=1))
        (options.out / "log.txt").write_text("".join(f"=== {one.name}\n{one.log}\n" for one in outcomes))
    print(f"\n{page(outcomes, options.dry)}")
    sys.exit(any(one.state != "done" for one in outcomes))


if __name__ == "__main__":
    main()
