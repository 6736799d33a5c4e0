"""A study for notebooks: its runs and its comparison as pandas frames, its answer, and its figures."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from yolo26_attention.counts import number_of
from yolo26_attention.files.folder import OutputFolder
from yolo26_attention.reporting.answer import Answer, answer
from yolo26_attention.reporting.comparison import Results, compare, plain_numbers
from yolo26_attention.reporting.over_images import with_images
from yolo26_attention.reporting.study import StudyError, StudyRun, read_study
from yolo26_attention.reporting.style import PAPER
from yolo26_attention.reporting.tables import numbers_of, terminal
from yolo26_attention.study.definition import study_name

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame

PARAMETERS = "model.parameters"
# Columns of `Study.frame` and the numbers of a record behind them.
NUMBERS = {
    "map50_95": "metrics.map50_95",
    "map50": "metrics.map50",
    "precision": "metrics.precision",
    "recall": "metrics.recall",
    "ap_small": "ap_by_size.small",
    "ap_medium": "ap_by_size.medium",
    "ap_large": "ap_by_size.large",
    "parameters": PARAMETERS,
    "gflops": "model.gflops",
    "p50_ms": "latency.p50_ms",
    "latency_ratio": "latency.ratio_to_stock",
    "latency_ratio_low": "latency.ratio_low",
    "latency_ratio_high": "latency.ratio_high",
    "fps": "latency.fps",
    "memory_mb": "latency.memory.peak_mb",
    "seconds": "seconds",
}


class Study:
    """The results of a study, read from the records of its runs, as `python -m src.report` reads them.

        study = Study("digits")
        study.frame()                          # one row per run
        study.comparison()                     # one row per variant
        print(study.answer.effect)
        study.figures()["differences"]

    Args:
        study: its name, the path of its file, or its folder `outputs/studies/NAME`.
        output_dir: where the runs are; that of the folder, if `study` is a folder.
        margin: the largest difference that does not matter; None for the study's own.
        metric: by which runs are compared; None for the study's own.
        resamples: random halves of the images; 0: no intervals over images.

    Raises:
        StudyError: if there is no such study, or if it cannot be read.
        ConfigError: if there is no such file.
    """

    def __init__(
        self,
        study: str | Path,
        output_dir: str | Path = "outputs",
        *,
        margin: float | None = None,
        metric: str | None = None,
        resamples: int = 1000,
    ):
        name, output_dir = _found(study, Path(output_dir))
        self._resamples = resamples
        read = read_study(name, output_dir, metric)
        self.results: Results = with_images(compare(read, margin), resamples)

    @property
    def name(self) -> str:
        """Name of the study."""
        return self.results.study.name

    @property
    def question(self) -> str:
        """The question that it answers; "" for runs that no study file declared."""
        return self.results.study.question

    @cached_property
    def answer(self) -> Answer:
        """The answer in sentences: `effect`, `beside`, `cost` and `remarks`."""
        return answer(self.results)

    def frame(self) -> "DataFrame":
        """One row per run: variant, seed, status, what was varied, scores, cost, and why it does not count.

        Scores are fractions of 1, from the split in `scored_on`; numbers that a run lacks are NaN.

        Raises:
            ModuleNotFoundError: without pandas.
        """
        return _frame([_row(run) for run in self.results.study.runs])

    def comparison(self, columns: str = "default") -> "DataFrame":
        """One row per variant, with the numbers of the report's table.csv.

        Args:
            columns: `default`, `paper`, `all`, or names such as `[map50,recall,fps]`, as for `python -m src.report`.

        Raises:
            ConfigError: if there is no such column.
            ModuleNotFoundError: without pandas.
        """
        return _frame(numbers_of(self.results, columns))

    def figures(self) -> dict[str, "Figure"]:
        """The report's figures by name, such as `differences` and `trade_off`, except those that need checkpoints."""
        from yolo26_attention.reporting.pictures import draw_pictures

        drawn = {picture.key: picture.figure for picture in draw_pictures(self.results, self.answer, self._resamples)}
        for figure in drawn.values():
            figure.set_facecolor(PAPER)  # the report's own are transparent, and notebooks may be dark
        return drawn

    def __str__(self) -> str:
        return terminal(self.results, self.answer, ())

    def __repr__(self) -> str:
        return f"Study({self.name!r}, {number_of(len(self.results.study.runs), 'run')})"


def _found(study: str | Path, output_dir: Path) -> tuple[str, Path]:
    """Name and output folder of a study that is given by its name, its file or its folder.

    Raises:
        StudyError: if it is a folder that is not one of a study.
    """
    folder = Path(study)
    if not folder.is_dir() or (isinstance(study, str) and folder.name == study):
        return study_name(str(study)), output_dir
    found = OutputFolder(folder.resolve().parents[1])
    if found.studies != folder.resolve().parent:
        raise StudyError(f"study={study}: this folder is not of a study; give outputs/studies/NAME, or the name alone")
    return folder.resolve().name, found.path


def _row(run: StudyRun) -> dict[str, Any]:
    """A run as a row of the frame."""
    numbers = {} if run.record is None else plain_numbers(run.record)
    return {
        "run": run.name,
        "variant": run.variant,
        "seed": run.seed,
        "status": run.status,
        **run.swept,
        **{column: numbers.get(number) for column, number in NUMBERS.items()},
        **({"parameters": int(numbers[PARAMETERS])} if PARAMETERS in numbers else {}),
        "scored_on": run.scored_on,
        "counts": run.counts,
        "problem": run.problem or "",
    }


def _frame(rows: Sequence[dict[str, Any]]) -> "DataFrame":
    try:
        from pandas import DataFrame
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("frames need pandas; install it with pip install -e '.[notebook]'") from error
    frame = DataFrame(rows)
    empty = frame.columns[frame.isna().all()]
    return frame.astype(dict.fromkeys(empty, float))  # NaN, as in columns that have some numbers
