"""Every error that a user can cause names its key, its value and a way out: tests/errors.txt is the table of them."""

import ast
import dataclasses
import errno
import io
import os
import re
import shutil
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr
from pathlib import Path
from unittest import mock

import pytest
import torch
import ultralytics
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from ultralytics.utils import DATASETS_DIR, SETTINGS_FILE

from src import dashboard, export, report, sweep
from src.profile import measure_plan
from tests.conftest import CONF, TINY, beside
from tests.fabricate import config_of, declare, training_state, write_run, write_study
from tests.faults.data import Call
from tests.voc import write_annotation, write_voc
from yolo26_attention.attention import from_timm
from yolo26_attention.attention.acmix import ACmix
from yolo26_attention.attention.neighbourhood import NeighbourhoodAttention
from yolo26_attention.attention.window import window_attention
from yolo26_attention.config.command_line import check_command_line
from yolo26_attention.config.hydra_errors import config_errors
from yolo26_attention.config.registration import export_config, register_configs, run_config
from yolo26_attention.config.schema import SCHEMAS, ExportConfig
from yolo26_attention.data.datasets import resolve_dataset
from yolo26_attention.data.digits import build_digits
from yolo26_attention.data.splits import read_image
from yolo26_attention.data.voc_conversion import convert_voc
from yolo26_attention.detector import stock
from yolo26_attention.detector.grafting import graft
from yolo26_attention.detector.specification import Graft
from yolo26_attention.detector.stock import build_stock
from yolo26_attention.files.digest import file_digest
from yolo26_attention.files.locks import run_lock
from yolo26_attention.files.record import Record
from yolo26_attention.plan.checks import Checker, Plan
from yolo26_attention.run.runner import run
from yolo26_attention.study.definition import study_names
from yolo26_attention.training.state import write_state
from yolo26_attention.yolo import grafted_yolo

ROOT = CONF.parent
ERRORS = {
    *("ConfigError", "DataChangedError", "DataUnreadableError", "DatasetInvalidError", "DatasetMissingError"),
    *("DiskFullError", "ForeignStateError", "LockError", "MemoryFullError", "NewerFormatError"),
    *("ObjectiveError", "RunHeldError", "RunSkippedError", "StudyError"),
}
# Where a ValueError is what a user reads; elsewhere it speaks to who calls a function.
FOR_USERS = (
    "attention/",
    "detector/",
    "data/",
    "latency/backends.py",
    "config/plain_yaml.py",
    "training/trainer.py",
    "yolo.py",
)
# Not reached by the table, and why.
ELSEWHERE = {
    ("training/out_of_memory.py", "out of memory in epoch"): "tests/training/test_out_of_memory.py",
    ("plan/training_options.py", " is not possible on several GPUs"): "tests/run/test_pause.py: needs two GPUs",
    ("config/command_line.py", ": --help lists the options of one"): "tests/config/test_attention_help.py",
    ("config/attention_help.py", ": your YAML has no _target_"): "as above",
    ("config/own_signature.py", "attention._target_="): "as above",
    ("detector/importing.py", "; correct that line"): "tests/test_own_attention.py",
    ("reporting/notebook.py", ": this folder is not of a study"): "tests/reporting/test_notebook_study.py",
    ("search/definition.py", "{path}: {error}"): "tests/search/test_search_file.py",
    ("search/state.py", "search={folder.name}"): "as above",
    ("search/state.py", " is no search "): "as above",
    ("search/driver.py", "budget.latency_ratio="): "tests/search/test_search_driver.py",
    ("search/driver.py", "the reference of the search"): "as above",
    ("search/driver.py", ": its latencies were measured on "): "as above",
    ("search/definition.py", ": the search chooses "): "tests/search/test_search_file.py",
    ("study/next_runs.py", "metric="): "tests/test_stopping.py",
    ("study/request.py", " has no effect with "): "tests/study/test_request.py",
    ("search/driver.py", "a search ranks after epochs"): "tests/test_search_under_budget.py",
    ("detector/construction.py", ") failed: "): "tests/detector/test_building.py: needs a class of one's own",
    **{
        ("study/declaration.py", part): "tests/study/test_declaration.py"
        for part in (": looks=", ": margin=", ": stop=", ": seeds=", ": seeds of ")
    },
    **{
        ("latency/layers.py", part): "tests/test_describe.py"
        for part in ("latency.enabled=false with layers", "latency.backend=")
    },
    ("describe.py", "markdown=true with layers=false"): "tests/test_describe.py",
    ("study/definition.py", " has no seeds; give their numbers"): "tests/study/test_definition.py",
    ("study/definition.py", " declares looks at "): "tests/test_stopping.py",
    ("study/request.py", "pilot="): "as above",
    **{
        ("study/timing.py", part): "tests/study/test_timing.py"
        for part in (
            " has nothing to time: ",
            "nothing could be timed: ",
            " is being timed by ",
            " holds no timings ",
            "the variants were trained on several devices",
            "the variants were trained with several trainer.threads",
            "chooses another one for timing",
            " was trained with ",
            "a study is timed on its validation images",
            "the study was trained on the digits",
        )
    },
    ("reporting/study.py", "timings.json of study "): "tests/reporting/test_timed_together.py",
    ("report.py", "cannot be read"): "tests/reporting/test_window_spread.py",
    **{
        ("runs.py", part): "tests/test_runs_listed.py"
        for part in (
            "no effect on {wish}",
            ": there is no such state",
            ": give one of them",
            "yes=true has no effect",
            "remove={",
            ": of which study?",
        )
    },
    **{
        ("study/publishing.py", part): "tests/test_runs_listed.py"
        for part in ("this is output_dir itself", "no run of it has finished")
    },
    **{
        ("study/inventory.py", part): "tests/test_runs_listed.py"
        for part in (
            "study={study} has no effect",
            "run=best: of which",
            " has no variant ",
            "{asked}",
            "remove={name}",
        )
    },
    ("report.py", "variant={label}"): "tests/reporting/test_heatmaps.py",
    ("reporting/choice.py", "columns={choice}"): "tests/reporting/test_table_columns.py",
    ("reporting/heatmaps.py", ": the network has no site "): "tests/reporting/test_heatmaps.py",
    **{
        ("hydra_plugins/study_launchers/local.py", part): "tests/test_local.py"
        for part in ("trainer.device=", "hydra.launcher.{key}=")
    },
    ("hydra_plugins/study_launchers/ray.py", "hydra/launcher=ray needs Ray"): "is installed here",
    ("hydra_plugins/study_launchers/ray.py", ": there is no Ray cluster"): "tests/run/test_batch.py",
    **{
        ("hydra_plugins/study_sweepers/optuna.py", part): "tests/test_search.py"
        for part in ("hydra.sweeper.{key}=", ": a search has hydra.sweeper.maximize=")
    },
    **{
        ("study/optuna_search.py", part): "tests/study/test_search_trials.py"
        for part in (
            "a search needs one objective",
            "hydra.sweeper.sampler=",
            "no trial of the search has finished",
            " finished trials has ",
            "hydra.sweeper.at_most.",
            "another program made this search",
            ": this search began with ",
            "hydra.sweeper.{key}: ",
        )
    },
    **{
        ("study/optuna_storage.py", part): "tests/study/test_search_trials.py"
        for part in ("needs Optuna 5, and ", "wrote it; upgrade it", " cannot be opened ", "is at this search")
    },
    ("study/optuna_storage.py", "needs Optuna; install with"): "is installed here",
    **{
        ("study/optuna_space.py", part): "tests/study/test_search_space.py"
        for part in (
            "nothing is searched",
            ": this range is empty",
            " Give two numbers, low first",
            ": a logarithmic range has whole numbers",
            " is a text here and would be tried as ",
        )
    },
    ("study/wandb_sweep.py", "wandb=true: agents train every point"): "tests/study/test_wandb_sweep.py",
    (
        "detector/placebo_size.py",
        " has work without a FLOP count",
    ): "tests/detector/test_placebo_size.py: needs a class",
    (
        "files/record.py",
        "objectives: ",
    ): "tests/run/test_measuring.py: needs a measurement that failed",
    ("plan/arguments.py", "latency.threads="): "needs a GPU",
    (
        "attention/acmix.py",
        "paths=convolution has no attention",
    ): "the report asks only where there is attention",
    (
        "attention/window.py",
        "q is ",
    ): "for who calls window_attention with tensors that do not fit each other",
    ("attention/window.py", "v is "): "as above",
    ("attention/window.py", "q, k and v differ in dtype"): "as above",
    (
        "attention/from_timm.py",
        " cannot train on a batch of one image",
    ): "in training: tests/attention",
    (
        "detector/late_parameters.py",
        " from the first map ",
    ): "a user's class: tests/detector/test_probe.py",
    ("detector/building.py", "attention at site {place}: {error}"): "as above",
    (
        "plan/machine.py",
        " is not writable; choose another folder",
    ): "root writes everywhere: tests/faults, as another user",
    (
        "plan/attention_options.py",
        ": your YAML has no ",
    ): "tests/test_own_attention.py: needs a folder given with -cd",
    ("plan/attention_options.py", "attention.source="): "a user's class: tests/plan/test_checks.py",
    ("plan/attention_options.py", " are reserved for the attention itself"): "as above",
    ("plan/identity.py", "attention.name="): "a user's YAML: tests/plan/test_identity.py",
    ("plan/identity.py", "data.name="): "as above",
    ("plan/own_code.py", ": its source "): "a user's class: tests/plan/test_own_code.py",
    ("plan/own_code.py", " changed after this command imported it"): "as above",
    ("config/command_line.py", " "): "tests/faults: needs a folder given with -cd",
    ("dashboard.py", "wandb-workspaces is not installed"): "is installed here",
    ("data/data_yaml.py", " cannot be read: "): "root reads everything",
    ("study/definition.py", " cannot be read ("): "as above",
    **{
        ("data/voc_download.py", part): "needs an answer from the network: tests/data/test_voc_download.py"
        for part in (" cannot be downloaded ", " unpacks to ", " is not a zip archive ", "; it needs one: ")
    },
    ("detector/building.py", " changes the map at site "): "tests/detector: needs a class that does",
    (
        "detector/grafting.py",
        " are fused into its convolutions",
    ): "from Python only: tests/detector",
    ("detector/same_graft.py", "would be lost"): "from Python only: tests/detector",
    ("plan/training_options.py", " cannot be divided among "): "needs several GPUs",
    ("training/trainer.py", " because of its name, so its values"): "as above",
    ("detector/stock.py", " has no list "): "a user's YAML: tests/detector/test_baselines.py",
    ("detector/stock.py", " cannot be read ("): "as above",
    ("detector/stock.py", " is a network for "): "as above",
    ("plan/networks.py", "Ultralytics cannot build it"): "a user's YAML: tests/plan/test_model_options.py",
    ("detector/sites.py", "this model has no block to graft"): "as above",
    ("detector/trust.py", " is not a dotted path"): "tests/detector: needs a folder given with -cd",
    (
        "latency/backends.py",
        "; install with: pip install -e '.[",
    ): "everything is installed here: tests/latency",
    (
        "latency/backends.py",
        "latency.backend=onnxruntime: the installed onnxruntime has no CUDA",
    ): "needs a GPU",
    (
        "latency/backends.py",
        "latency.backend=compiled needs a C++ compiler",
    ): "there is one here: tests/latency",
    ("export.py", "put the code back"): "a user's class: tests/test_export.py",
    ("export.py", "Restore the images, or skip the comparison"): "slow: tests/test_export.py",
    ("export.py", " is gone, so nothing can be compared"): "as above",
    ("export.py", ": the converter failed: "): "as above",
    ("export.py", "does not run here, so it cannot be compared"): "as above",
    ("export.py", ": the export is refused: "): "as above",
    ("export.py", "is compared before suppression"): "as above",
    ("export.py", "is neither a side nor [height,width]"): "as above",
    **{
        ("latency/backends.py", part): "tests/latency/test_backends.py"
        for part in (
            " exclude each other",
            "int8=true with format=",
            "is not an option of format=",
            "is not possible with format=",
        )
    },
    ("plan/tracking_options.py", "WANDB_MODE="): "an environment variable: tests/plan/test_tracking_options.py",
    ("plan/tracking_options.py", "its wandb is not a writable folder"): "as above",
    ("plan/tracking_options.py", "which cannot be imported"): "as above",
    ("plan/tracking_options.py", "is another module"): "as above",
    ("run/attempt.py", " are free); "): "needs a full disk: tests/faults",
    ("run/inputs.py", "_changed(plan, "): "needs a training: tests/run/test_inputs.py",
    ("run/inputs.py", "cannot be compared with what this run trained on"): "as above",
    ("training/state.py", " does not fit this version of the program"): "tests/training/test_state.py",
    (
        "training/trainer.py",
        " is gone, so this run cannot resume",
    ): "two GPUs: tests/training/test_trainer.py",
}
TABLE = ROOT / "tests" / "errors.txt"
pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="the table is that of a machine without a GPU")


def table() -> dict[str, list[str]]:
    """What is done, and the parts that the error must have; `> ` begins an entry, `#` a comment."""
    text = re.sub(r"^#.*\n", "", TABLE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    entries = [entry.partition("\n") for entry in re.split(r"^> ", text, flags=re.MULTILINE)[1:]]
    return {trigger: said.strip().split(" | ") for trigger, _, said in entries}


@pytest.fixture(scope="module")
def provoked(tmp_path_factory) -> tuple[dict[str, str], set[tuple[str, int]]]:
    """What every entry of the table really says, and where in src the errors were raised."""
    folder, said, sites = tmp_path_factory.mktemp("errors"), {}, set()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        provoke = Provoke(folder, patch)
        for trigger in table():
            stderr = io.StringIO()  # where argparse says what it refuses
            try:
                with redirect_stderr(stderr):
                    provoke(trigger)
                said[trigger] = "nothing is refused"
            except (ValueError, OSError, RuntimeError, TypeError, SystemExit) as error:
                text = stderr.getvalue() if error.args == (2,) else str(error).removeprefix("error: ")
                said[trigger] = provoke.plain(text)
                sites |= set(_raised(error))
                if not (isinstance(error, SystemExit) or _of_this_program(error)):
                    said[trigger] = f"a traceback: {error!r}"
    return said, sites


def _of_this_program(error: BaseException) -> bool:
    """Whether this program raised the error itself, so that it is written for users."""
    return Path(traceback.extract_tb(error.__traceback__)[-1].filename).is_relative_to(ROOT / "src")


def _raised(error: BaseException | None) -> Iterator[tuple[str, int]]:
    """File and line of an error, of what caused it, and of what it came after."""
    while error is not None:
        for frame in traceback.extract_tb(error.__traceback__):
            yield frame.filename, frame.lineno or 0
        error = error.__cause__ or error.__context__


def test_every_error_names_its_key_its_value_and_a_way_out(provoked):
    lacking = [
        f"{trigger}\n  lacks {' | '.join(missing)}\n  says  {provoked[0][trigger]}"
        for trigger, parts in table().items()
        if (missing := [part for part in parts if not says(provoked[0][trigger], part)])
    ]
    assert not lacking, "\n".join(lacking)


def says(text: str, part: str) -> bool:
    """Whether a text has a part as whole words, so that 1 is not found in 16."""
    return re.search(rf"(?<![\w.]){re.escape(part)}(?!\w|\.\d)", text) is not None


@pytest.mark.parametrize(
    ("text", "part", "there"),
    [("heads=16; try 4", "4", True), ("heads=16; try 4", "1", False), ("try 4.5", "4", False), ("try 4.", "4", True)],
)
def test_a_part_is_found_as_whole_words(text, part, there):
    assert says(text, part) is there


def test_no_entry_of_the_table_is_satisfied_with_a_single_word():
    assert [trigger for trigger, parts in table().items() if len(parts) < 2] == []


def test_the_table_has_every_error(provoked):
    missing, needless = [], dict(ELSEWHERE)
    for path in sorted((ROOT / "src").rglob("*.py")):
        name = _name(path)
        for first, last, text in _sites(path):
            reached = any(file == str(path) and first <= line <= last for file, line in provoked[1])
            excused = [key for key in ELSEWHERE if key[0] == name and key[1] in text]
            if not reached and not excused:
                missing.append(f"{name}:{first}: {text}")
            if not reached:
                for key in excused:
                    needless.pop(key, None)
    assert not missing, "\n".join(missing)
    assert needless == {}, "reached by the table, or not there any more"


def _sites(path: Path) -> Iterator[tuple[int, int, str]]:
    """First and last line of what raises a user's error, and its text; what only passes one on is left out."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        call = node.exc if isinstance(node, ast.Raise) else node.value if isinstance(node, ast.Expr) else None
        if not isinstance(call, ast.Call) or not call.args or re.match(r"str\(", ast.unparse(call.args[0])):
            continue
        name = ast.unparse(call.func)
        user = name in ERRORS or name == "parser.error" or (name == "ValueError" and _for_users(path))
        if user:
            yield node.lineno, node.end_lineno or node.lineno, ast.unparse(call.args[0])


def _name(path: Path) -> str:
    """A file of the library by its path in it, a command by its name."""
    return path.relative_to(ROOT / "src").as_posix().removeprefix("yolo26_attention/")


def _for_users(path: Path) -> bool:
    return _name(path).startswith(FOR_USERS)


class Provoke:
    """Does what an entry of the table says."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        register_configs()
        self.folder, self.patch, self.checker = folder, patch, Checker()
        patch.setattr(stock, "attempt_download_asset", _no_network)
        patch.setenv("NETRC", str(folder / "netrc"))  # no key for W&B
        self.data = build_digits(folder / "set", train_images=4, val_images=2, imgsz=64, seed=0).parent
        torch.save({"model": build_stock("yolo26s", 3, 3), "train_args": {}}, folder / "other.pt")
        torch.save({"weights": [1.0]}, folder / "no_model.pt")
        grafted = build_stock("yolo26n", 10, 3)
        graft(grafted, Graft("yolo26_attention.attention.simam.SimAM", {}, ("p3",)))
        torch.save({"model": grafted, "train_args": {}}, folder / "grafted.pt")
        (folder / "noise.pt").write_bytes(b"noise")
        study = {"baseline": ({"name": "baseline"}, 0.5), "acmix": ({"name": "acmix"}, 0.6)}
        write_study(folder / "outputs", study, (0,))
        torch.save({"model": Call(os.system, "true")}, folder / "hostile.pt")
        for name, checkpoint in {"acmix": _stock(folder), "eca": "noise.pt", "gc": "hostile.pt"}.items():
            made = write_run(folder / "outputs", config_of({"name": name}, 0), 0.5) / "train"
            (made / "weights").mkdir(parents=True)
            shutil.copy(folder / checkpoint, made / "weights" / "best.pt")
            (made / "args.yaml").write_text(f"data: {self.data}/data.yaml\nimgsz: 64\n")
            trained = {"best": file_digest(made / "weights" / "best.pt")}
            dataclasses.replace(Record.read(made.parent), checkpoints=trained).write(made.parent)
        write_run(folder / "outputs", config_of({"name": "se"}, 0, study="other"), None, status="failed", error="x")

    def __call__(self, trigger: str) -> None:
        kind, _, rest = trigger.partition(": ")
        if trigger.startswith("python -m "):
            self._command(*re.match(r"python -m src\.(\w+) ?(.*)", trigger).groups())
        elif kind == "data.yaml":
            self._data_set(rest)
        elif kind == "voc":
            self._voc(rest)
        elif kind == "study.yaml":
            Path("study.yaml").write_text(rest.replace("\\n", "\n").replace("\\t", "\t"))
            self._command("sweep", "study.yaml plan=true")
        else:
            OTHERS[trigger](self.folder)

    def _command(self, module: str, rest: str) -> None:
        arguments = re.findall(r"(?:[^\s{']|\{[^}]*\}|'[^']*')+", rest)
        GlobalHydra.instance().clear()
        if module in {"train", "profile"}:
            self._train(arguments, module)
        elif module == "export" and not arguments:
            with initialize_config_dir(str(CONF), version_base="1.3"):
                export.main.__wrapped__(compose("export"))
        elif module == "export":
            with initialize_config_dir(str(CONF), version_base="1.3"), config_errors(arguments, ExportConfig):
                options = export_config(compose("export", arguments))
            export.export_run(options)
        else:
            self.patch.setattr(sys, "argv", [module, *arguments])
            {"sweep": sweep, "report": report, "dashboard": dashboard}[module].main()

    def _train(self, arguments: list[str], module: str) -> None:
        check_command_line(arguments)
        picked = {option.partition("=")[0] for option in arguments} & set(SCHEMAS)
        own = any(option.startswith("data.yaml=") for option in arguments)
        base = [o for o in TINY if o.split(".")[0] not in picked and not (own and o.startswith("data."))]
        shared = beside([option.lstrip("+~") for option in arguments], base=base)
        with initialize_config_dir(str(CONF), version_base="1.3"), config_errors(arguments):
            config = run_config(compose("config", [*shared, *arguments]))
        plan = self.checker.check(config)
        if module == "profile":
            measure_plan(plan, [])

    def _data_set(self, change: str) -> None:
        """A data set with one thing wrong: a line of its YAML, or a file as PATH = CONTENT."""
        shutil.rmtree("my", ignore_errors=True)
        shutil.copytree(self.data, "my")
        Path("my/fingerprint.json").unlink()
        names = "names: [a, b, c, d, e, f, g, h, i, j]"
        lines = {"path": f"path: {self.folder / 'my'}", "train": "train: images/train", "val": "val: images/val"}
        lines |= {"names": names}
        for part in change.replace("\\n", "\n").split(" | "):
            path, _, content = part.replace("{here}", str(self.folder)).partition(" = ")
            if part.startswith("without "):
                lines.pop(part.removeprefix("without "), None)
                for file in Path("my").glob(part.removeprefix("without ")):
                    file.unlink()
            elif " = " in part:
                for file in sorted(Path("my").glob(path)) or [Path("my", path)]:
                    file.write_bytes(content.encode("latin-1"))
            else:
                lines[part.split(":")[0]] = part
        text = change.removeprefix("whole ") if change.startswith("whole ") else "\n".join(lines.values())
        Path("my/data.yaml").write_bytes(text.replace("\\n", "\n").replace("\\t", "\t").encode("latin-1"))
        resolve_dataset("my/data.yaml")

    def _voc(self, change: str) -> None:
        """A data set in the form of Pascal VOC with one thing wrong: PATH = CONTENT, without PATH, or FROM -> TO."""
        shutil.rmtree("zoo", ignore_errors=True)
        write_voc(Path("zoo"))
        if change.startswith("without "):
            path = Path("zoo", change.removeprefix("without "))
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        elif " -> " in change:
            old, new = change.split(" -> ")
            shutil.copy(Path("zoo", old), Path("zoo", new))
        else:
            path, _, text = change.partition(" = ")
            Path("zoo", path).write_bytes(text.replace("\\n", "\n").encode("latin-1"))
        convert_voc("zoo", self.folder / "zoo", self.folder / "converted")

    def plain(self, text: str) -> str:
        """Without what differs from machine to machine, or is listed elsewhere."""
        attentions = sorted(path.stem for path in (CONF / "attention").glob("*.yaml"))
        for found, name in (
            (str(self.folder), "{here}"),
            (str(Path(ultralytics.__file__).parent), "{ultralytics}"),
            (str(SETTINGS_FILE), "{settings}"),
            (str(DATASETS_DIR), "{datasets}"),
            (str(ROOT), "{root}"),
            (", ".join(attentions), "{attentions}"),
            (", ".join(study_names()), "{studies}"),
        ):
            text = text.replace(found, name)
        text = re.sub(r"searched .* and in the installed", "searched {folders} and in the installed", text)
        return re.sub(r"(?m)^usage: (?:.|\n)*?error: ", "", text).strip()


def _grafted(folder: Path) -> Path:
    """A checkpoint with a graft."""
    model = build_stock("yolo26n", 10, 3)
    graft(model, Graft("yolo26_attention.attention.simam.SimAM", {}, ("p3",)))
    torch.save({"model": model, "train_args": {}}, folder / "grafted.pt")
    return folder / "grafted.pt"


def _no_network(path: Path) -> None:
    raise ConnectionError(path)


def _stock(folder: Path) -> Path:
    torch.save({"model": build_stock("yolo26n", 10, 3), "train_args": {}}, folder / "stock.pt")
    return folder / "stock.pt"


def _voc_without_boxes(folder: Path) -> None:
    for name in write_voc(folder / "empty").glob("Annotations/*.xml"):
        write_annotation(folder / "empty", name.stem, [])
    convert_voc("zoo", folder / "empty", folder / "converted")


def _hold(folder: Path) -> None:
    with run_lock(folder / "a.lock"), run_lock(folder / "a.lock"):
        pass


def _without_locks(folder: Path) -> None:
    answer = OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))
    with mock.patch("filelock._unix.fcntl.flock", side_effect=answer), run_lock(folder / "b.lock"):
        pass


def _lock_of_others(folder: Path) -> None:
    (folder / "c.lock").mkdir(exist_ok=True)
    with run_lock(folder / "c.lock"):
        pass


def _record_holds(content: str) -> Callable[[Path], object]:
    def happens(folder: Path) -> object:
        (folder / "record.json").write_text(content)
        return Record.read(folder)

    return happens


def _failed_before(folder: Path) -> None:
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        plan = Checker().check(run_config(compose("config", [*TINY, "retry=false", "attention=baseline"])))
    write_run(folder / "outputs", config_of({"name": "baseline"}, 5), None, status="failed", error="x").rename(
        plan.folder
    )
    _rewrite(plan)
    run(plan, "")


def _rewrite(plan: Plan, **changes: object) -> None:
    """Give the record in the run's folder the identity of the plan, and other changes."""
    record = Record.read(plan.folder)
    assert record is not None
    dataclasses.replace(record, **{"run_id": plan.run_id, "seed": plan.config.seed, **changes}).write(plan.folder)


def _planned(*overrides: str) -> Plan:
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return Checker().check(run_config(compose("config", [*TINY, "attention=baseline", *overrides])))


def _of_another_run(folder: Path) -> None:
    plan = _planned("seed=2")
    made = write_run(folder / "outputs", config_of({"name": "baseline"}, 6), 0.5).rename(plan.folder)
    assert Record.read(made) is not None
    run(plan, "")


def _without_metrics(folder: Path) -> None:
    plan = _planned("seed=3")
    write_run(folder / "outputs", config_of({"name": "baseline"}, 7), 0.5).rename(plan.folder)
    _rewrite(plan, metrics={})
    run(plan, "")


def _state_of_another_run(folder: Path) -> None:
    plan = _planned("seed=4")
    (folder / "another").mkdir(exist_ok=True)
    plan.folder.mkdir(exist_ok=True)
    write_state(folder / "another" / "state.pt", training_state())
    shutil.copy(folder / "another" / "state.pt", plan.folder)
    run(plan, "")


def _broken_study(folder: Path) -> None:
    (folder / "outputs/studies/broken").mkdir(parents=True, exist_ok=True)
    (folder / "outputs/studies/broken/study.json").write_text("[")
    sys.argv[1:] = ["broken"]
    report.main()


def _nothing_begun(folder: Path) -> None:
    declare(folder / "outputs", "not_begun", [{"run": "a", "variant": "baseline", "seed": 0, "overrides": []}])
    dashboard.dashboard(dashboard.Options("not_begun"))


def _study_elsewhere(folder: Path) -> None:
    (folder / "mine.yaml").write_text(
        "question: x\nseeds: [0]\nvariants: {baseline: {attention: baseline}, se: {attention: se}}\n"
    )
    sys.argv[1:] = ["mine.yaml", "wandb=true", *TINY]
    GlobalHydra.instance().clear()
    sweep.main()


def _not_fetched(folder: Path) -> None:
    place = folder / "nowhere"
    names = "train: a\nval: b\nnames: [x]\n"
    (folder / "far.yaml").write_text(f"path: {place}\n{names}download: raise ConnectionError('no route')\n")
    resolve_dataset("far.yaml", download=True)


def _exported(folder: Path) -> None:
    (folder / "x.onnx").touch()
    grafted_yolo("x.onnx", "se")


OTHERS: dict[str, Callable[[Path], object]] = {
    "grafted_yolo(stock, None)": lambda folder: grafted_yolo(_stock(folder)),
    "grafted_yolo(grafted, 'baseline')": lambda folder: grafted_yolo(_grafted(folder), "baseline"),
    "grafted_yolo('yolo26n.yaml', {'p3': 'se'}, ['p5'])": lambda folder: grafted_yolo(
        "yolo26n.yaml", {"p3": "se"}, ["p5"]
    ),
    "grafted_yolo('yolo26n.yaml', {'p3': 'acmx'})": lambda folder: grafted_yolo("yolo26n.yaml", {"p3": "acmx"}),
    "grafted_yolo('yolo26n.yaml', {'p3': 'baseline'})": lambda folder: grafted_yolo("yolo26n.yaml", {"p3": "baseline"}),
    "grafted_yolo('x.onnx', 'se')": _exported,
    "voc annotations without a box": _voc_without_boxes,
    "voc of another digest": lambda folder: convert_voc(
        "zoo", write_voc(folder / "other"), folder / "converted", "abc"
    ),
    "ACmix(64, paths='x')": lambda folder: ACmix(64, paths="x"),
    "NeighbourhoodAttention(64, implementation='x')": lambda folder: NeighbourhoodAttention(64, implementation="x"),
    "grafted_yolo('yolo26n.yaml', 'se', match={})": lambda folder: grafted_yolo("yolo26n.yaml", "se", match={}),
    "grafted_yolo('yolo26n.yaml', 'placebo', match={'by': 'flops'})": lambda folder: grafted_yolo(
        "yolo26n.yaml", "placebo", match={"by": "flops"}
    ),
    "grafted_yolo('yolo26n.yaml', 'placebo', match={'matches': 'acmix', 'by': 'params'})": lambda folder: grafted_yolo(
        "yolo26n.yaml", "placebo", match={"matches": "acmix", "by": "params"}
    ),
    "grafted_yolo('yolo26n.yaml', 'se').load(grafted)": lambda folder: grafted_yolo("yolo26n.yaml", "se").load(
        _grafted(folder)
    ),
    "grafted_yolo('yolo26n.yaml', 'se', mode='inside')": lambda folder: grafted_yolo(
        "yolo26n.yaml", "se", mode="inside"
    ),
    "a data set whose download fails": _not_fetched,
    "read_image('no.png', 3)": lambda folder: read_image(Path("no.png"), 3),
    "resolve_dataset('digits')": lambda folder: resolve_dataset("digits"),
    "from_timm.eca(64, gate='x')": lambda folder: from_timm.eca(64, gate="x"),
    "from_timm.sk(7)": lambda folder: from_timm.sk(7),
    "window_attention(window=4)": lambda folder: window_attention(*[torch.zeros(1, 4, 8, 8)] * 3, heads=1, window=4),
    "window_attention(stride=0)": lambda folder: window_attention(
        *[torch.zeros(1, 4, 8, 8)] * 3, heads=1, window=3, stride=0
    ),
    "window_attention(implementation='x')": lambda folder: window_attention(
        *[torch.zeros(1, 4, 8, 8)] * 3, heads=1, window=3, implementation="x"
    ),
    "another process at the same run": _hold,
    "a disk without locks": _without_locks,
    "a lock file that cannot be opened": _lock_of_others,
    "a record.json cut short": _record_holds("{"),
    "a record.json of a later version": _record_holds('{"format": 99}'),
    "a run that failed, retry=false": _failed_before,
    "a folder with the record of another run": _of_another_run,
    "a finished record without metrics": _without_metrics,
    "a folder with the state of another run": _state_of_another_run,
    "an output_dir that the locale cannot encode": lambda folder: _planned("output_dir='/x/\udce5'"),
    "a study.json cut short": _broken_study,
    "the dashboard of a study of which nothing has begun": _nothing_begun,
    "a study file that lies elsewhere, wandb=true": _study_elsewhere,
}
