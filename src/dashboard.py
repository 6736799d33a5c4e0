"""Entry: create a study's dashboard and save it in Weights & Biases, or as a definition without a server.

python -m src.dashboard kernel_att
python -m src.dashboard kernel_att save=true entity=my-team
"""

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path

from yolo26_attention.config.errors import ConfigError
from yolo26_attention.config.interruptible import interruptible_command
from yolo26_attention.config.key_value import parse_arguments
from yolo26_attention.files.atomic import write_atomically
from yolo26_attention.reporting.study import StudyError, read_study, tracking_of
from yolo26_attention.study.definition import study_name


@dataclass(frozen=True)
class Options:
    """Options of the command."""

    study: str = field(metadata={"help": "the study, by its name or the path of its file"})
    output_dir: str = field(default="outputs", metadata={"help": "where the runs are"})
    entity: str = field(default="", metadata={"help": "user or team; if empty, that of the study's runs"})
    save: bool = field(
        default=False, metadata={"help": "save it on the server; always done for runs with tracking=online"}
    )


def dashboard(options: Options) -> str:
    """Build the study's workspace, write its definition, and save it on a server if requested; returns what to do next.

    Raises:
        StudyError: if there is no such study, or its project is unknown.
        ConfigError: if there is no such study file.
        RuntimeError: if it cannot be saved.
    """
    from yolo26_attention.reporting.comparison import compare
    from yolo26_attention.reporting.swept import swept_lines
    from yolo26_attention.reporting.workspace import build_workspace, swept_options

    study = read_study(study_name(options.study), Path(options.output_dir))
    results = compare(study)
    tracking = tracking_of(study)
    if tracking is None:
        raise StudyError(f"study={options.study}: no run has begun, so its project is unknown")
    entity = options.entity or tracking["entity"] or ""
    try:
        workspace = build_workspace(
            study.name,
            entity=entity,
            project=tracking["project"],
            metric=study.score_name,
            options=swept_options(study),
            lines={key: list(lines) for key, lines in swept_lines(results).items()},
        )
    except ImportError as error:
        raise StudyError("wandb-workspaces is not installed; pip install -e '.[dashboard]'") from error
    study.folder.mkdir(parents=True, exist_ok=True)
    path = study.folder / "dashboard.json"
    # The library has no public API for a definition without a server.
    definition = workspace._to_model().model_dump(mode="json", by_alias=True, exclude_none=True)
    write_atomically(path, json.dumps(definition, indent=2) + "\n")
    written = "\n".join([f"definition written to {path}", *(f"note: {note}" for note in results.notes)])
    if not (options.save or tracking["mode"] == "online"):
        return (
            f"{written}\nThe runs were not logged to a server. To see the dashboard, upload them and save it there:\n"
            f"  wandb login\n  wandb sync {options.output_dir}/wandb/offline-run-*\n"
            f"  python -m src.dashboard {options.study} save=true entity=YOUR_USER_OR_TEAM"
        )
    if not entity:
        raise StudyError("a dashboard needs a user or team; give entity=NAME")
    from yolo26_attention.run.wandb_study import save_workspace

    return f"{written}\nsaved: {save_workspace(workspace)}"


def main() -> None:
    """Print the result."""
    options = parse_arguments(Options, "python -m src.dashboard", __doc__.splitlines()[0].removeprefix("Entry: "))
    with interruptible_command("run the same command again"):
        try:
            print(dashboard(options))
        except (ConfigError, StudyError, RuntimeError) as error:
            sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
