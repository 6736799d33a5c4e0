"""What the documents say: every command in them is run, both READMEs agree, and what they name is there."""

import importlib.util
import itertools
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections import Counter
from pathlib import Path

import pytest
import torch
import yaml
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser

from src.dashboard import Options as DashboardOptions
from src.dashboard import dashboard
from src.export import find_run
from src.report import Options as ReportOptions
from src.report import report
from src.runs import Options as RunsOptions
from src.runs import runs
from src.search import main as search_main
from src.sweep import main as sweep_main
from tests.conftest import CONF
from tests.fabricate import declare, target_of, write_study
from yolo26_attention.config.command_line import check_command_line
from yolo26_attention.config.hydra_errors import config_errors
from yolo26_attention.config.key_value import read_options
from yolo26_attention.config.registration import export_config, register_configs, run_config
from yolo26_attention.config.schema import SCHEMAS
from yolo26_attention.data.digits import build_digits
from yolo26_attention.detector.stock import build_stock
from yolo26_attention.plan.checks import check
from yolo26_attention.study import timing
from yolo26_attention.study.points import register_points

ROOT = CONF.parent
README, CHINESE = ROOT / "README.md", ROOT / "README.zh-CN.md"
DOCUMENTS = [README, CHINESE, *sorted((ROOT / "docs").glob("*.md"))]
# All that is written, with those for maintainers, whose commands train or install for long.
PAGES = [
    *DOCUMENTS,
    *sorted((ROOT / "docs").glob("*/*.md")),
    *(ROOT / name for name in ("CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")),
]
WORKFLOW = ROOT / ".github" / "workflows" / "ci.yml"
# What a command of the documents is given besides, so that its run takes seconds.
SMALL = (
    "trainer.epochs=1 trainer.batch=4 trainer.imgsz=64 trainer.workers=0 trainer.plots=false trainer.patience=1 "
    "latency.seconds=0.2 latency.patience=0 latency.throughput_batches=[] data.train_images=8 data.val_images=4 "
    "data.imgsz=64"
).split()
# Not run to their end, and why.
NOT_RUN = {
    "hydra/launcher=slurm": "needs a Slurm: make test-cluster",
    "hydra/launcher=ray": "needs a Ray: make test-cluster",
    "hydra/launcher=local": "tests/test_local.py runs it",
    "tracking=online": "needs W&B's server",
    "hydra/sweeper=optuna": "tests/test_search.py runs it",
}


def _fences(path: Path) -> list[tuple[str, str]]:
    return re.findall(r"^```(\w*)\n(.*?)^```$", path.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def _commands() -> list[str]:
    """Every command, without its comment: lines of blocks, and what stands in backquotes in a sentence."""
    found = []
    for path in DOCUMENTS:
        for kind, block in _fences(path):
            if kind == "bash":
                found += re.sub(r"\\\n\s*", "", block).splitlines()
        prose = re.sub(r"^```.*?^```$", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
        found += re.findall(r"`((?:python -m|make|pip|wandb) [^`]+)`", prose)
    return list(dict.fromkeys(re.sub(r"\s+#.*", "", line).strip() for line in found if line.strip()))


COMMANDS = _commands()
OURS = [command for command in COMMANDS if re.match(r"python -m src\.\w+ \w", command)]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    """A folder as the documents suppose it: a data set, an attention module and a checkpoint of one's own, a study."""
    folder = tmp_path_factory.mktemp("workspace")
    data = build_digits(folder / "set", train_images=8, val_images=4, imgsz=64, seed=0)
    (folder / "my").mkdir()
    shutil.copytree(data.parent, folder / "my", dirs_exist_ok=True)
    (folder / "my" / "data.yaml").write_text(
        re.sub(r"^path:.*$", f"path: {folder / 'my'}", data.read_text(), flags=re.M)
    )
    (folder / "mine" / "attention").mkdir(parents=True)
    for kind, block in _fences(README):
        if kind in {"yaml", "python"} and (name := re.match(r"# (mine/\S+)\n", block)):
            (folder / name[1]).write_text(block)
    torch.save({"model": build_stock("yolo26s", 10, 3), "train_args": {}}, folder / "yolo26s.pt")
    shutil.copytree(ROOT / "results", folder / "results")
    variants = {f"acmix kernel_att={k}": ({"name": "acmix", "kernel_att": k}, 0.5) for k in (3, 5)}
    write_study(folder / "outputs", {"baseline": ({"name": "baseline"}, 0.5), **variants}, study="kernel_att")
    runs = [{"run": run.name, "variant": run.name, "seed": 0} for run in (folder / "outputs" / "runs").iterdir()]
    declare(folder / "outputs", "kernel_att", runs)
    return folder


def _arguments(command: str, workspace: Path) -> list[str]:
    """The command's own, with data sets that cannot be downloaded here in the shape of the one that is there."""
    run = sorted((workspace / "outputs" / "runs").iterdir())[0].name
    arguments = [re.sub("^(run|show)=RUN$", rf"\1={run}", argument) for argument in shlex.split(command)[3:]]
    if any(re.match(r"data=(coco|voc|visdrone)", argument) for argument in arguments):
        arguments += ["data.yaml=my/data.yaml", "data.download=false"]
    return arguments


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_is_accepted(command, workspace, monkeypatch, capsys):
    monkeypatch.chdir(workspace)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))  # commands are not installed
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)  # for tracking=online
    if found := re.match(r"make ([\w-]+)$", command):
        shown = subprocess.run(["make", "-n", "-C", ROOT, found[1]], capture_output=True, text=True, check=True)
        assert shown.stdout.strip()
    elif command.startswith("pip install -e "):
        extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
        assert set(re.findall(r"\.\[(\w+)\]", command)) <= set(extras)
    elif found := re.match(r"source (\S+)$", command):
        assert (ROOT / found[1]).is_file()
    elif found := re.match(r"wandb (\w+)", command):
        subprocess.run(
            [sys.executable, "-m", "wandb", found[1], "--help"], capture_output=True, check=True, env=os.environ
        )
    elif found := re.match(r"python -m (benchmarks\.\w+)$", command):
        assert importlib.util.find_spec(found[1]) is not None
    else:
        module = re.match(r"python -m (src\.\w+)", command)[1]
        _accept(module, _arguments(command, workspace), workspace, monkeypatch, capsys)


def _accept(module, arguments, workspace, monkeypatch, capsys):
    """Do what a command of ours does before it trains or measures; whatever takes no time is done to its end."""
    shows = {"--help", "--cfg"} & set(arguments)
    if shows or not arguments or "-cd" in arguments:
        arguments = arguments if shows else [*_first_point(arguments), *(["--cfg", "job"] if arguments else ["--help"])]
        shown = subprocess.run([sys.executable, "-m", module, *arguments], capture_output=True, text=True, check=True)
        assert shown.stdout.strip()
    elif "timing=true" in arguments:
        ratios, named = {"baseline": 1.0, "acmix": 1.2}, {"baseline": "a", "acmix": "b"}
        monkeypatch.setattr(timing, "time_study", lambda *_: (target_of(ratios, named), True))
        monkeypatch.setattr(sys, "argv", [module, *arguments])
        GlobalHydra.instance().clear()
        with pytest.raises(SystemExit) as ended:
            sweep_main()
        assert (ended.value.code, "study kernel_att, timed:" in capsys.readouterr().out) == (0, True)
    elif module in {"src.sweep", "src.search"}:
        if not {"status=true", "wandb=true"} & set(arguments):
            # A plan takes all options but those of a training.
            arguments = [each for each in arguments if not each.startswith(("pilot=", "retry="))] + ["plan=true"]
        monkeypatch.setattr(sys, "argv", [module, *arguments])
        GlobalHydra.instance().clear()
        with pytest.raises(SystemExit) as ended:
            (sweep_main if module == "src.sweep" else search_main)()
        assert (ended.value.code, bool(capsys.readouterr().out.strip())) == (0, True)
    elif module in {"src.report", "src.dashboard"}:
        options, do = (ReportOptions, report) if module == "src.report" else (DashboardOptions, dashboard)
        # The published studies have many runs; the slow test below draws as many images as a user.
        fewer = ["resamples=20"] if module == "src.report" and "output_dir=results" in arguments else []
        assert do(read_options(options, [*arguments, *fewer]))
    elif module == "src.export":
        options = _composed("export", arguments)
        for folder in (workspace / "outputs" / "runs").iterdir():
            (folder / "train" / "weights").mkdir(parents=True, exist_ok=True)
            (folder / "train" / "weights" / "best.pt").touch()
        found = find_run(options.run, options.output_dir, options.study)
        assert found.name == options.run or options.study == "kernel_att"
    elif module == "src.runs":
        assert runs(read_options(RunsOptions, arguments))
    else:
        assert module in {"src.train", "src.describe", "src.profile"}, f"nothing here knows how to run {module}"
        name = {"src.profile": "profile", "src.describe": "describe"}.get(module, "config")
        for point in _points([argument for argument in arguments if argument != "-m"]):
            check(_composed(name, point))


def _composed(name, arguments):
    register_configs()
    check_command_line(arguments)
    register_points(arguments)
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONF), version_base="1.3"), config_errors(arguments):
        return (export_config if name == "export" else run_config)(compose(name, arguments))


def _points(arguments):
    """What Hydra's sweeper would run one after the other."""
    parsed = OverridesParser.create().parse_overrides(arguments)
    values = [
        [f"{o.key_or_group}={value}" for value in o.sweep_string_iterator()]
        if o.is_sweep_override()
        else [o.input_line]
        for o in parsed
    ]
    return [list(point) for point in itertools.product(*values)]


def _first_point(arguments):
    """A sweep's first point; Hydra shows the configuration of no more than one."""
    return [re.sub(r"^(\w+)=(\w+),.*", r"\1=\2", argument) for argument in arguments if argument != "-m"]


@pytest.mark.slow
@pytest.mark.parametrize("command", OURS)
def test_a_command_runs_to_its_end(command, workspace, tmp_path):
    """Where the study's runs do not lie already, so that it trains them."""
    for argument, why in NOT_RUN.items():
        if argument in command:
            pytest.skip(why)
    if "=openvino" in command:
        pytest.importorskip("openvino", reason="needs pip install -e '.[openvino]'")
    for name in ("my", "mine", "yolo26s.pt", "results"):
        os.symlink(workspace / name, tmp_path / name)
    module, outputs = shlex.split(command)[2], workspace
    trained_before = module in {"src.report", "src.dashboard", "src.export", "src.runs"}
    if trained_before or re.search("(status|timing)=true", command):
        _run([sys.executable, "-m", "src.sweep", "kernel_att", "seeds=0", *SMALL, "tracking=disabled"], tmp_path)
        outputs = tmp_path
    arguments = [re.sub(r"^seeds=.*", "seeds=0", argument) for argument in _arguments(command, outputs)]
    if module in {"src.train", "src.profile", "src.search", "src.sweep", "src.describe"} and "--cfg" not in arguments:
        own_data = any(argument.startswith("data.yaml=") for argument in arguments)
        small = [option for option in SMALL if not (own_data and option.startswith("data."))]
        small = [option for option in small if "timing=true" not in command or option.startswith("latency.")]
        arguments += [option for option in small if option.split("=")[0] not in {a.split("=")[0] for a in arguments}]
    _run([sys.executable, "-m", module, *arguments], tmp_path)


def _run(command, folder):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}  # commands are not installed
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]


def test_both_readmes_have_the_same_commands_and_outputs():
    assert _fences(README) == _fences(CHINESE)


def _outline(path: Path) -> list[str]:
    """Headings' levels, and the shapes of tables and lists, in their order."""
    prose = re.sub(r"^```.*?^```$", "```", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    marks = [re.match(r"(#+ |- |```|(\|[^|]*)+\|$)", line) for line in prose.splitlines()]
    return [re.sub(r"[^|#`-]+", " ", mark[0].replace("---", "")) for mark in marks if mark]


def test_both_readmes_have_the_same_outline():
    ours, theirs = (["|" * line.count("|") or line for line in _outline(path)] for path in (README, CHINESE))
    assert ours == theirs


@pytest.mark.parametrize(
    "pattern",
    [
        pytest.param(r"\d+(?:[.,]\d+)*", id="numbers"),
        pytest.param(r"\]\(([^)]+)\)", id="links"),
        pytest.param(r"`[^`\n]+`", id="code"),
    ],
)
def test_both_readmes_name_the_same(pattern):
    ours, theirs = (
        Counter(re.findall(pattern, re.sub(r"^(\*\*English|\[English).*$", "", path.read_text(), flags=re.MULTILINE)))
        for path in (README, CHINESE)
    )
    assert ours == theirs


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_leads_somewhere(path):
    for link in re.findall(r"\]\(([^)]+)\)", path.read_text(encoding="utf-8")):
        if link.startswith("http"):
            continue
        file, _, anchor = link.partition("#")
        target = (path.parent / file).resolve() if file else path
        assert target.exists(), link
        if anchor:
            headings = re.findall(r"^#+ (.*)$", target.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}, link


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_file_that_is_named_exists(path):
    """In full; NAME and an asterisk stand for any."""
    named = re.findall(r"`((?:src|tests|docs|conf|sweeps|benchmarks)/[^`\s]*)`", path.read_text(encoding="utf-8"))
    assert [name for name in named if not (re.search(r"NAME|\*", name) or (ROOT / name).exists())] == []


def test_the_map_names_every_file_and_no_other():
    """A heading for each folder, and below it a table whose first column has its files."""
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    there = {str(path.relative_to(ROOT)) for path in (ROOT / "src").rglob("*.py") if path.name != "__init__.py"}
    named = [
        folder + name
        for folder, section in re.findall(r"^### `(src/\S*)`\n(.*?)(?=^##)", text, re.MULTILINE | re.DOTALL)
        for name in re.findall(r"^\| `(\S+\.py)` \|", section, re.MULTILINE)
    ]
    assert sorted(name for name in named if not name.endswith("__init__.py")) == sorted(there)
    assert all((ROOT / name).exists() for name in named)


def test_the_workflow_runs_targets_that_exist():
    text = WORKFLOW.read_text(encoding="utf-8")
    targets = set(re.findall(r"\bmake ([a-z-]+)", text)) | set(re.search(r"target: \[(.*)\]", text)[1].split(", "))
    there = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert {"install", "lint", "test", "test-all"} <= targets <= there
    assert yaml.safe_load(text)["jobs"]


def test_the_citation_has_the_programs_version():
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))["version"] == version
    assert f"version = {{{version}}}" in README.read_text(encoding="utf-8")


def test_every_option_that_is_named_exists():
    known = {
        f"{group}.{key}" for group, schemas in SCHEMAS.items() for s in schemas.values() for key in s.__annotations__
    }
    known |= {"optimizer.lr0", "optimizer.lrf", "optimizer.momentum", "optimizer.weight_decay", "attention.factor"}
    named = set()
    for path in DOCUMENTS:
        groups = "|".join(group for group in SCHEMAS)
        named |= set(re.findall(rf"`(?:\S+ )*((?:{groups})\.[a-z_0-9]+)(?:=[^`]*)?`", path.read_text(encoding="utf-8")))
    files = {"latency.npz", "latency.py", "model.py", "tracking.py", "trainer.py"}
    assert named - known - files == set()
