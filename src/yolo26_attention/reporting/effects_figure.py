"""Picture of what each component does."""

from yolo26_attention.reporting.comparison import Results
from yolo26_attention.reporting.effects_told import explained
from yolo26_attention.reporting.figures import forest_axes
from yolo26_attention.reporting.signs import interval, signed
from yolo26_attention.reporting.style import PAPER, Picture, colour_of, styled
from yolo26_attention.statistics.factors import Effect

MOST_DRAWN = 30


def draw_effects(results: Results) -> Picture | None:
    """Effects of components and interactions with their intervals; None without any."""
    effects = results.effects
    if effects is None or not effects.estimates:
        return None
    drawn = effects.estimates[:MOST_DRAWN]
    with styled():
        figure, axes = forest_axes([each.name for each in drawn], results.margin, f"effect on {effects.metric}")
        for row, each in enumerate(drawn):
            alone = len(each.components) == 1
            colour = colour_of(0 if alone else 1)
            axes.plot((each.low, each.high), (row, row), color=colour, linewidth=1.6)
            axes.plot(each.effect, row, "o" if alone else "D", color=colour, markersize=6,
                      markerfacecolor=colour if alone else PAPER)  # fmt: skip
    more = f" Drawn are {len(drawn)} of {len(effects.estimates)}." if len(drawn) < len(effects.estimates) else ""
    return Picture(
        "effects",
        "What each component does",
        f"{explained(effects)} Hollow marks are interactions. The grey band is ±{results.margin:g}, what does not "
        f"matter.{more}",
        f"Effects of components and interactions: {'; '.join(map(_in_words, drawn))}.",
        figure,
    )


def _in_words(each: Effect) -> str:
    return f"{each.name} {signed(each.effect)} ({interval((each.low, each.high))})"
