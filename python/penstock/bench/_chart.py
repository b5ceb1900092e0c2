"""The figures as a picture: one panel for each work, one bar for each peer, on scales that show factors."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from penstock.bench._results import Results

_OURS, _THEIRS = "#0b6e8a", "#b8bfc6"


def draw(results: Results, path: Path) -> None:
    """Draw what has figures, as an SVG or PNG by the name's suffix.

    Raises:
        ModuleNotFoundError: Matplotlib is not installed. Remedy: `pip install penstock[bench]`.
        ValueError: The suffix is of no kind of picture.
    """
    import matplotlib

    matplotlib.use("Agg")
    # The same picture for the same figures, and text that can be searched.
    matplotlib.rcParams.update({"svg.hashsalt": "penstock", "svg.fonttype": "none", "font.size": 8})
    from matplotlib import pyplot

    panels = [(work, [row for row in rows if row.has_figures]) for work, rows in results.by_work()]
    # Figures without another to compare them with are no picture.
    panels = [(work, rows) for work, rows in panels if len(rows) > 1] or [(work, rows) for work, rows in panels if rows]
    if not panels:
        return
    heights = [0.8 + 0.22 * len(rows) for _, rows in panels]
    figure, axes = pyplot.subplots(
        len(panels),
        1,
        figsize=(8, sum(heights)),
        height_ratios=heights,
        layout="constrained",
        squeeze=False,
    )
    for axis, (work, rows) in zip(axes[:, 0], panels, strict=True):
        medians = [row.median() or 0.0 for row in rows]
        low = [median - min(row.values()) for row, median in zip(rows, medians, strict=True)]
        high = [max(row.values()) - median for row, median in zip(rows, medians, strict=True)]
        colours = [_OURS if row.peer == "penstock" else _THEIRS for row in rows]
        axis.barh([row.peer for row in rows], medians, xerr=[low, high], color=colours, error_kw={"linewidth": 0.8})
        axis.invert_yaxis()
        if min(medians) > 0:
            axis.set_xscale("log")
        better = "more" if work.is_more_better else "less"
        axis.set_title(f"{work.name} ({work.unit}; {better} is better)", loc="left", fontsize=9)
        axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None, dpi=150)
    pyplot.close(figure)
