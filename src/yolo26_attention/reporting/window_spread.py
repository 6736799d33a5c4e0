"""Whether windowed attention selects anything, as a sentence for the answer. Free of torch."""

from collections.abc import Mapping

from yolo26_attention.files.windows import SiteSpread, WindowSpreads
from yolo26_attention.reporting.answer import Answer
from yolo26_attention.reporting.comparison import Results
from yolo26_attention.reporting.signs import listed

EVEN = 0.9  # of a window: attention over more pixels than that selects nothing


def even_windows(results: Results, said: Answer, measured: WindowSpreads) -> str:
    """The sentence on the variant spoken of, or else on the first that was looked into; "" if it selects everywhere.

    What was measured in a run that no longer counts is left out.
    """
    about = [] if said.about is None else [said.about.variant]
    for variant in [*about, *results.variants]:
        found = measured.variants.get(variant.label)
        if found is not None and found.run in {run.name for run in variant.counted}:
            return told(variant.label, found.sites)
    return ""


def told(variant: str, sites: Mapping[str, SiteSpread]) -> str:
    """A sentence on the sites where attention does not select; "" if there is none.

    Args:
        variant: label of the variant.
        sites: where it has windows.
    """
    even = [site for site, spread in sites.items() if spread.pixels >= EVEN * spread.window]
    others = [site for site in sites if site not in even]
    if not even:
        return ""
    reached = {site: f"{spread.pixels:.0f} of the {spread.window} pixels" for site, spread in sites.items()}
    where, there = (f" at {listed(even)}", " there") if others else ("", "")
    beside = f" ({listed([f'{reached[site]} at {site}' for site in others])})" if others else ""
    return (
        f"The attention of {variant} averages its window{where} and selects nothing{there}: a pixel spreads it over "
        f"{listed([f'{reached[site]} of its window at {site}' for site in even])}, so a plain mean would do the same"
        f"{beside}."
    )
