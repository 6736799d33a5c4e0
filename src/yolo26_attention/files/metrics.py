"""Names of metrics: in the record, in Ultralytics' results, and for readers."""

MAP50_95 = "map50_95"
MAP50 = "map50"
PRECISION = "precision"
RECALL = "recall"
# In the order in which they are shown.
ULTRALYTICS = {
    MAP50_95: "metrics/mAP50-95(B)",
    MAP50: "metrics/mAP50(B)",
    PRECISION: "metrics/precision(B)",
    RECALL: "metrics/recall(B)",
}
# By which a study may be compared, with what readers call them. Each is an average precision, so that a network that
# has learned nothing has about 0. Precision and recall depend on a confidence chosen on the same images.
COMPARED = {
    MAP50_95: "mAP50-95",
    MAP50: "mAP50",
    "ap_small": "AP of small objects",
    "ap_medium": "AP of medium objects",
    "ap_large": "AP of large objects",
}


def recorded(metric: str) -> tuple[str, str]:
    """The field of a record, and the key in it, that hold one of COMPARED."""
    size = metric.removeprefix("ap_")
    return ("metrics", metric) if size == metric else ("ap_by_size", size)


def tracked(name: str) -> str:
    """The name in Weights & Biases of one of Ultralytics' metrics."""
    return name.replace("(B)", "")
