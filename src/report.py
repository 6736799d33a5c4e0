"""Entry: the answer of a study, from its records: does it help, how much, how sure, at what cost.

    python -m src.report kernel_att
    python -m src.report kernel_att output_dir=/elsewhere margin=0.01
    python -m src.report digits blood_cells

Reads records; torch is imported only to look into checkpoints (looks=true).
"""

import gc
import logging
import shlex
import sys
import time
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

from yolo26_attention.config.errors import ConfigError
from yolo26_attention.config.interruptible import interruptible_command
from yolo26_attention.config.key_value import parse_arguments
from yolo26_attention.config.plain_yaml import as_override
from yolo26_attention.files.atomic import write_atomically
from yolo26_attention.files.folder import OutputFolder, RunFolder
from yolo26_attention.files.metrics import COMPARED, MAP50_95
from yolo26_attention.reporting.study import StudyError, read_study, tracking_of
from yolo26_attention.study.declaration import MARGIN
from yolo26_attention.study.definition import study_name

if TYPE_CHECKING:
    from yolo26_attention.files.windows import WindowSpreads
    from yolo26_attention.reporting.answer import Answer
    from yolo26_attention.reporting.comparison import Compared, Results
    from yolo26_attention.reporting.style import Picture

log = logging.getLogger(__name__)
EFFECTS = "effects.csv"  # only studies of components have it
OF_ONE = ("resamples", "columns", "looks", "variant", "sites", "tracking")  # have no effect on several studies


@dataclass(frozen=True)
class Options:
    """Options of the command."""

    study: str = field(metadata={"help": "the study, by its name or the path of its file"})
    output_dir: str = field(default="outputs", metadata={"help": "where the runs are"})
    margin: float | None = field(
        default=None,
        metadata={
            "help": "the largest difference of the metric that does not matter",
            "shown": f"the study's, or {MARGIN}",
            "kind": float,
            "least": 1e-9,
            "below": 1,
        },
    )
    metric: str | None = field(
        default=None,
        metadata={"help": "the metric by which variants are compared", "shown": f"the study's, or {MAP50_95}",
                  "kind": str, "choices": tuple(COMPARED)},
    )  # fmt: skip
    resamples: int = field(
        default=1000,
        metadata={"help": "random halves of the images; 0: no intervals over images", "least": 0},
    )
    columns: str = field(
        default="default",
        metadata={"help": "columns of the tables: paper, all, or names such as [map50,recall,fps]; default: those of "
                  "papers in table.tex and table.html, and everything that was measured in the others"},
    )  # fmt: skip
    looks: bool = field(
        default=True, metadata={"help": "draw detections, heatmaps and attention windows, from checkpoints and images"}
    )
    variant: str = field(
        default="", metadata={"help": "label of the variant to draw beside its baseline", "shown": "the answer's"}
    )
    sites: str = field(
        default="",
        metadata={
            "help": "sites with a figure of heatmaps each, such as [p3,backbone_p4]",
            "shown": "the variant's, in one",
        },
    )
    tracking: str = field(
        default="as_runs",
        metadata={"help": "log the report to Weights & Biases in the mode of the runs, or disabled",
                  "choices": ("as_runs", "disabled")},
    )  # fmt: skip
    beside: list[str] = field(
        default_factory=list,
        metadata={"help": "more studies: shows where each variant helps, and whether any helps in all", "many": True},
    )


def report(options: Options) -> str:
    """Write the report of a study into its folder; returns the text for the terminal.

    Raises:
        StudyError: if there is no such study.
        ConfigError: if there is no such column, variant or site.
    """
    from yolo26_attention.reporting.answer import answer
    from yolo26_attention.reporting.choice import chosen_columns, named_list
    from yolo26_attention.reporting.comparison import compare
    from yolo26_attention.reporting.over_images import with_images
    from yolo26_attention.reporting.page import page
    from yolo26_attention.reporting.paper import document, latex
    from yolo26_attention.reporting.pictures import draw_pictures
    from yolo26_attention.reporting.tables import comma_separated, effects_separated, markdown, terminal
    from yolo26_attention.reporting.window_spread import even_windows

    if options.sites and not options.looks:
        raise ConfigError(f"sites={options.sites} has no effect with looks=false; leave one of them out")
    study = read_study(study_name(options.study), Path(options.output_dir), options.metric)
    results = compare(study, options.margin)
    choice = options.columns
    chosen_columns(results, choice)  # an unknown column is refused before the images are resampled
    results = with_images(results, options.resamples)
    said = answer(results)
    drawn = replace(said, about=_about(results, options.variant)) if options.variant else said
    pictures = draw_pictures(results, drawn, options.resamples)
    kept = OutputFolder(Path(options.output_dir)).windows(study.name)
    known = measured = _spreads(kept)
    if options.looks:
        looked, measured = _looks(results, drawn, named_list(options.sites), known)
        pictures += looked
    said = replace(said, remarks=(*said.remarks, *filter(None, [even_windows(results, drawn, measured)])))
    command = _command(options)
    folder = study.folder / "report"
    files = {
        "report.md": markdown(results, said, pictures, choice),
        "table.csv": comma_separated(results, choice),
        "table.tex": latex(results, choice),
        "table.html": document(results, choice),
        "index.html": page(results, said, pictures, command, time.strftime("%Y-%m-%d %H:%M"), choice),
    }
    if results.effects is not None and results.effects.estimates:
        files[EFFECTS] = effects_separated(results.effects)
    figures = {f"{picture.key}.svg": picture.svg for picture in pictures}
    figures |= {f"{picture.key}.pdf": picture.pdf for picture in pictures}
    _write(folder, files, figures)
    if measured != known:  # a report without checkpoints says it, too
        measured.write(kept)
    written = [f"written to {folder}: {', '.join(files)}, figures/"]
    if options.tracking == "as_runs":
        written += _log(results, folder, Path(options.output_dir))
    return terminal(results, said, written, choice)


def report_several(options: Options) -> str:
    """Write the report of several studies, side by side; returns the text for the terminal.

    Raises:
        StudyError: if one of them does not exist.
        ConfigError: if a study is given twice, or an option has no effect on several.
    """
    from yolo26_attention.reporting.comparison import compare
    from yolo26_attention.reporting.several import join_studies, markdown, page, terminal

    _refuse_of_one(options)
    output_dir = Path(options.output_dir)
    names = [study_name(each) for each in (options.study, *options.beside)]
    if len(set(names)) < len(names):
        raise ConfigError(f"{' '.join(names)}: a study is given twice; give each once")
    several = join_studies([compare(read_study(name, output_dir, options.metric), options.margin) for name in names])
    folder = OutputFolder(output_dir).studies / "+".join(names)
    folder.mkdir(parents=True, exist_ok=True)
    pages = {name: Path("..") / name / "report" / "index.html" for name in names}
    there = {name: path for name, path in pages.items() if (folder / path).is_file()}
    files = {
        "report.md": markdown(several),
        "index.html": page(several, _command(options), time.strftime("%Y-%m-%d %H:%M"), there),
    }
    for name, text in files.items():
        write_atomically(folder / name, text)
    return f"{terminal(several)}\n\nwritten to {folder}: {', '.join(files)}"


def _refuse_of_one(options: Options) -> None:
    """Refuse the options that only the report of one study has."""
    given = {option.name: (getattr(options, option.name), option.default) for option in fields(options)}
    if useless := [f"{name}={as_override(given[name][0])}" for name in OF_ONE if given[name][0] != given[name][1]]:
        several = len(useless) > 1
        raise ConfigError(
            f"{', '.join(useless)} {'have' if several else 'has'} no effect on the report of several studies; leave "
            f"{'them' if several else 'it'} out, or report one study, python -m src.report {options.study} {useless[0]}"
        )


def _command(options: Options) -> str:
    """The command that makes the report again."""
    given = {each.name: (getattr(options, each.name), each.default) for each in fields(options)}
    changed = [f"{name}={str(value).lower() if isinstance(value, bool) else value}"
               for name, (value, default) in given.items()
               if name not in ("study", "beside") and value != default]  # fmt: skip
    return shlex.join(["python", "-m", "src.report", options.study, *options.beside, *changed])


def _about(results: "Results", label: str) -> "Compared":
    """The variant of a label beside its baseline.

    Raises:
        ConfigError: if no variant that is compared has this label.
    """
    labels = [each.variant.label for each in results.judged]
    if label not in labels:
        hint = f"choose {', '.join(labels)}" if labels else "no variant can be compared yet, so leave it out"
        raise ConfigError(f"variant={label}: no compared variant has this label; {hint}")
    return results.judged[labels.index(label)]


def _spreads(path: Path) -> "WindowSpreads":
    """What earlier reports measured of the attention.

    Raises:
        StudyError: if it cannot be read.
    """
    from yolo26_attention.files.windows import WindowSpreads

    try:
        return WindowSpreads.read(path)
    except ValueError as error:
        raise StudyError(f"{path} cannot be read ({error}); remove it, and make the report again") from error


def _looks(
    results: "Results", said: "Answer", sites: list[str], measured: "WindowSpreads"
) -> tuple[list["Picture"], "WindowSpreads"]:
    """Pictures of what networks do on the images that score them, and what was measured there."""
    from yolo26_attention.reporting.detections import draw_detections

    pictures = [draw_detections(said)]
    if any(RunFolder(run.folder).best.is_file() for run in results.study.runs):
        from yolo26_attention.reporting.attention_windows import draw_windows
        from yolo26_attention.reporting.heatmaps import draw_heatmaps  # imports torch

        pictures += draw_heatmaps(results, said.about, sites) if said.about is not None else []
        if (drawn := draw_windows(results, said)) is not None:
            picture, variant, spread = drawn
            pictures.append(picture)
            measured = replace(measured, variants={**measured.variants, variant: spread})
    elif sites:
        log.warning("the heatmaps are not drawn: no run of the study has a checkpoint here (best.pt)")
    return [picture for picture in pictures if picture is not None], measured


def _write(folder: Path, files: dict[str, str], figures: dict[str, bytes]) -> None:
    """Replace the report; what only an earlier one has is removed."""
    (folder / "figures").mkdir(parents=True, exist_ok=True)
    for name, content in figures.items():
        write_atomically(folder / "figures" / name, content)
    for name, text in files.items():
        write_atomically(folder / name, text)
    for old in (folder / "figures").iterdir():
        if old.is_file() and old.name not in figures:
            old.unlink()
    if EFFECTS not in files:
        (folder / EFFECTS).unlink(missing_ok=True)


def _log(results: "Results", folder: Path, output_dir: Path) -> list[str]:
    """Log the report in the study's group, with the tracking of its latest run."""
    recorded = tracking_of(results.study)
    if recorded is None or recorded["mode"] == "disabled":
        return []
    from yolo26_attention.config.run_config import typed_group
    from yolo26_attention.config.schema import TrackingConfig
    from yolo26_attention.plan.tracking_options import check_tracking, follow_environment
    from yolo26_attention.reporting.workspace import swept_points
    from yolo26_attention.run.wandb_study import log_report

    try:
        options = follow_environment(typed_group(recorded, TrackingConfig), [])
        check_tracking(options, results.study.name, output_dir.absolute())
        if options.mode == "disabled":
            return []
        place = log_report(options, results.study.name, folder, output_dir.absolute(), swept_points(results))
    except (ConfigError, RuntimeError) as error:
        return [f"not logged to Weights & Biases: {error}"]
    return [f"logged to Weights & Biases: {place}"]


def main() -> None:
    """Print the answer."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    gc.disable()  # records live to the end: looking through 10,000 for garbage took a quarter of the time
    options = parse_arguments(Options, "python -m src.report", __doc__.splitlines()[0].removeprefix("Entry: "))
    with interruptible_command("files of the report may be missing; run the same command again"):
        try:
            print(report_several(options) if options.beside else report(options))
        except (ConfigError, StudyError) as error:
            sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
