"""Names of the stock networks: YOLO26, and the detection networks of Ultralytics that serve as baselines."""

YOLO26 = tuple(f"yolo26{scale}{variant}" for variant in ("", "-p2", "-p6") for scale in "nsmlx")
BASELINES = (
    *(f"{family}{scale}" for family in ("yolo12", "yolo11") for scale in "nsmlx"),
    *(f"yolov10{scale}" for scale in "nsmblx"),
    *(f"yolov9{scale}" for scale in "tsmce"),
    *(f"yolov8{scale}{variant}" for variant in ("", "-p2", "-p6") for scale in "nsmlx"),
    *(f"yolov6{scale}" for scale in "nsmlx"),
    *(f"yolov5{scale}{variant}" for variant in ("", "-p6") for scale in "nsmlx"),
    *("yolov3-tiny", "yolov3", "yolov3-spp"),
)
MODELS = (*YOLO26, *BASELINES)
# Suffixes of the networks for other tasks, and what to do with one of them.
TASK_SUFFIXES = ("-seg", "-pose", "-obb", "-cls")
OTHER_TASKS = (
    "this command trains detection only; for other tasks use grafted_yolo('{}', 'acmix').train(...) from Python"
)


def unknown_model(name: str) -> str:
    """Say that there is no such network, and what there is."""
    if name.endswith(TASK_SUFFIXES):
        return f"model.name={name}: {OTHER_TASKS.format(f'{name}.yaml')}"
    families = "yolo11n, yolo12n, yolov10n, yolov9t, yolov8n, yolov6n, yolov5n, yolov3"
    return (
        f"model.name={name} is unknown; choose one of {', '.join(YOLO26)}, a baseline such as {families}, or your own "
        "with model.yaml=PATH"
    )
