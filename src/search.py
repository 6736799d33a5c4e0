"""Entry: a search under a budget; the same command continues it, and confirms what it found.

python -m src.search place plan=true
python -m src.search place trainer=full data=coco
python -m src.search place confirm=false
"""

import logging
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hydra import initialize_config_dir
from omegaconf import DictConfig

from src.profile import measure_plan
from src.sweep import CONF, launcher_config, sweep
from src.train import train_one
from yolo26_attention.compat.hydra import launch
from yolo26_attention.config.errors import ConfigError
from yolo26_attention.config.interruptible import interruptible_command
from yolo26_attention.config.key_value import option_lines
from yolo26_attention.config.recipe import recipe_for
from yolo26_attention.config.registration import register_configs
from yolo26_attention.counts import number_of
from yolo26_attention.files.atomic import write_atomically
from yolo26_attention.files.folder import OutputFolder
from yolo26_attention.search.answer import answer
from yolo26_attention.search.candidates import costing
from yolo26_attention.search.confirmation import read_confirmation, write_confirmation
from yolo26_attention.search.definition import load_search, refuse_overrides, search_names
from yolo26_attention.search.driver import Means, Search
from yolo26_attention.search.state import read_state
from yolo26_attention.study.plan import Composer, plan_runs
from yolo26_attention.study.request import Request, parse, read_command_line

log = logging.getLogger(__name__)
USAGE = """\
python -m src.search SEARCH [key=value ...]

SEARCH  one of those below, or the path of a .yaml of your own

{options}

Any option of python -m src.train, for all runs: trainer=full data=coco; hydra/launcher=... for more machines;
-cd DIR for a folder with your own options.

SEARCHES
{searches}"""


@dataclass(frozen=True)
class SearchOptions:
    """Options of the command itself; every other option is one of the runs."""

    plan: bool = field(default=False, metadata={"help": "check the space and print what would be done; train nothing"})
    confirm: bool = field(default=True, metadata={"help": "train the best candidates again with new seeds"})
    search: str = field(
        default="",
        metadata={
            "help": "a name that keeps this search apart from the same one with other options",
            "shown": "the file's",
        },
    )


def search(arguments: Sequence[str]) -> int:
    """Carry out what the command line asks for; returns the exit status.

    Raises:
        ConfigError: naming key, value and a way out.
    """
    line = read_command_line(arguments, SearchOptions, "search", search_names())
    options, hydra, overrides = line.options, line.hydra, line.overrides
    content = load_search(line.name)
    refuse_overrides(content, overrides)
    if "trainer" not in content.common:
        overrides += recipe_for(overrides)
    base = launcher_config(hydra, overrides)
    name = options.search or Path(line.name).stem
    found = _search(line.name, name, Path(base.output_dir), base, hydra, overrides)
    if options.plan:
        print(_plan_text(found))
        return 0
    found.measure_costs()
    found.start()
    ended = found.halve()
    return _conclude(found, name, hydra, overrides, options.confirm and ended)


def _search(
    file: str, name: str, output_dir: Path, base: DictConfig, hydra: Sequence[str], overrides: Sequence[str]
) -> Search:
    content = load_search(file)
    composer = Composer(hydra)

    def measure(options: Sequence[str]) -> tuple[float, str]:
        from yolo26_attention.plan.checks import check
        from yolo26_attention.run.environment import cpu_model, device_name

        plan = check(composer(options))
        timed = measure_plan(plan, list(options)).latency
        if plan.latency_device.type == "cpu":
            threads = number_of(timed.threads or 1, "thread")
            return timed.ratio_to_stock, f"{cpu_model()}, {threads}, {timed.backend}, {timed.imgsz} px"
        return timed.ratio_to_stock, f"{device_name(plan.latency_device)}, {timed.backend}, {timed.imgsz} px"

    def train(commands: Sequence[Sequence[str]]) -> None:
        launch(train_one, base, [[*command, f"study=search-{name}", "retry=false"] for command in commands])

    folder = OutputFolder(output_dir).searches / name
    means = Means(lambda points: plan_runs(points, composer), measure, train)
    return Search(content, folder, output_dir, read_state(folder, content, overrides), means, overrides)


def _plan_text(found: Search) -> str:
    """Describe the search without training anything."""
    space, budget, ends = found.space, found.search.budget, found.check()
    count = sum(1 for _ in space)
    singles = costing(space)
    known = sum(space.label(one) in found.state.costs for one in singles)
    lines = [
        f"search {found.folder.name}: {found.search.question}",
        f"{number_of(count, 'candidate')} of {number_of(len(space.keys), 'key')}; "
        f"{number_of(len(singles), 'latency', 'latencies')} to measure, {known} known",
        f"at most {min(budget.runs, count)} candidates start, ranked after {', '.join(map(str, ends))} epochs",
        *(f"impossible: {label}: {reason}" for label, reason in found.state.impossible.items()),
    ]
    return "\n".join(lines)


def _conclude(found: Search, name: str, hydra: Sequence[str], overrides: Sequence[str], confirm: bool) -> int:
    """Measure the front, confirm it, and write the answer."""
    study, status = f"{name}-confirm", 0
    found.measure_front()
    _write(found, study)
    if confirm and (path := write_confirmation(found)) is not None:
        kept = [text for text in overrides if not text.startswith("latency")]
        request = parse([str(path), f"study={study}", "latency=disabled", *hydra, *kept])
        assert isinstance(request, Request), "it names no task"
        status = sweep(request)
    print(_write(found, study))
    print(f"also in {found.folder / 'answer.md'}")
    return status if found.finals() else 1


def _write(found: Search, study: str) -> str:
    text = answer(found, read_confirmation(found, study), study)
    write_atomically(found.folder / "answer.md", text)
    return text


def main() -> None:
    """Read the command line and carry it out."""
    arguments = sys.argv[1:]
    if not arguments or {"-h", "--help"} & set(arguments):
        searches = "\n".join(f"  {name:<14} {load_search(name).question}" for name in search_names())
        print(USAGE.format(options="\n".join(option_lines(SearchOptions)), searches=searches))
        return
    with interruptible_command("run the same command again to continue the search"):
        register_configs()
        try:
            with initialize_config_dir(str(CONF), job_name="train", version_base="1.3"):
                sys.exit(search(arguments))
        except ConfigError as error:
            sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
