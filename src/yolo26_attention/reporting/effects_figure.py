"""Picture of what each component does."""

from yolo26_attention.reporting.comparison import Results
from yolo26_attention.reporting.effects_told import explained
from yolo26_attention.reporting.signs import interval, signed
from yolo26_attention.reporting.style import (
    GRID,
    INK,
    MUTED,
    PAPER,
    Picture,
    colour_of,
    new_figure,
    rendered,
    styled,
)
from yolo26_attention.statistics.factors import Effect

MOST_DRAWN = 30


def draw_effects(results: Results) -> Picture | None:
    """Effects of components and interactions with their intervals; None without any."""
    effects = results.effects
    if effects is None or not effects.estimates:
        return None
    drawn = effects.estimates[:MOST_DRAWN]
    with styled():
        figure, (axes,) = new_figure(1.2 + 0.34 * len(drawn))
        axes.axvspan(-results.margin, results.margin, color=GRID, alpha=0.6, linewidth=0, zorder=0)
        axes.axvline(0, color=MUTED, linewidth=1)
        for row, each in enumerate(drawn):
            alone = len(each.components) == 1
            colour = colour_of(0 if alone else 1)
            axes.plot((each.low, each.high), (row, row), color=colour, linewidth=1.6)
            axes.plot(each.effect, row, "o" if alone else "D", color=colour, markersize=6,
                      markerfacecolor=colour if alone else PAPER)  # fmt: skip
        axes.set_yticks(range(len(drawn)), [each.name for each in drawn], color=INK)
        axes.set_ylim(len(drawn) - 0.4, -0.6)
        axes.grid(axis="y", visible=False)
        axes.set_xlabel(f"effect on {effects.metric}")
        files = rendered(figure)
    more = f" Drawn are {len(drawn)} of {len(effects.estimates)}." if len(drawn) < len(effects.estimates) else ""
    return Picture(
        "effects",
        "What each component does",
        f"{explained(effects)} Hollow marks are interactions. The grey band is ±{results.margin:g}, what does not "
        f"matter.{more}",
        f"Effects of components and interactions: {'; '.join(map(_in_words, drawn))}.",
        files,
    )


def _in_words(each: Effect) -> str:
    return f"{each.name} {signed(each.effect)} ({interval((each.low, each.high))})"
