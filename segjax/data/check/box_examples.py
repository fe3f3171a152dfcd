"""An image of examples from a checked data set of boxes: images with their boxes, classes and scores drawn."""

import os

import numpy as np

from segjax.data.check.box_report import BoxReport, SeenBoxes
from segjax.data.check.mask_examples import save_figure
from segjax.data.formats.annotations import clipped
from segjax.data.formats.images import read_image

_COLUMNS = 4
_DRAWN = 8
_SIDE = 768


def draw_boxes_of(report: BoxReport, path: str | os.PathLike[str]) -> None:
    """Draw up to eight images, half of them for training, into an image file; nothing where none can be read.

    Crowds have dashed boxes. Beside its class a box has its greatest score.

    Raises:
        DataError: the file cannot be written.
    """
    chosen = _choose(report)
    if not chosen:
        return
    from matplotlib.patches import Patch, Rectangle

    from segjax.drawing import brightened, hexadecimal
    from segjax.drawing.figures import legend_below, new_figure
    from segjax.drawing.names import drawable, in_legend

    rows = -(-len(chosen) // _COLUMNS)
    figure = new_figure(3.2 * _COLUMNS, 3.3 * rows + 0.5, constrained=True)
    grid = np.array(figure.subplots(rows, _COLUMNS, squeeze=False)).ravel()
    colours = [hexadecimal(colour) for colour in report.palette]
    for axes in grid:
        axes.axis("off")
    for axes, (split, seen) in zip(grid, chosen, strict=False):
        image = brightened(read_image(seen.picture.path))
        height, width = image.shape[:2]
        picture = clipped(seen.picture, (height, width))
        step = -(-max(height, width) // _SIDE)
        axes.imshow(image[::step, ::step], extent=(0, width, height, 0))
        for box, label, crowd, scores in zip(
            picture.boxes, picture.labels, picture.crowd, picture.attributes, strict=True
        ):
            x, y, w, h = box.tolist()
            style = "--" if crowd else "-"
            axes.add_patch(Rectangle((x, y), w, h, fill=False, edgecolor=colours[label], linestyle=style, linewidth=1))
            text = drawable(report.class_names)[label]
            if scores.size and not np.isnan(scores).all():
                best = int(np.nanargmax(scores))
                text += f": {drawable(report.attribute_names)[best]} {scores[best]:.2f}"
            # Above the box, or within it where there is no room; from its right end where it is far to the right.
            axes.text(
                x + w if x > 0.6 * width else x, y, text, fontsize=5, color="black", parse_math=False,
                ha="right" if x > 0.6 * width else "left", va="top" if y < 0.06 * height else "bottom",
                bbox={"facecolor": colours[label], "edgecolor": "none", "pad": 0.6},
            )  # fmt: skip
        name = picture.path.name if len(picture.path.name) <= 32 else f"...{picture.path.name[-29:]}"
        axes.set_title(f"{split}: {name}", fontsize=6, loc="left", parse_math=False)
    facts = report.to_json()["boxes"]
    handles = [
        Patch(color=colour, label=f"{name} {' + '.join(map(str, counts.values()))}")
        for name, counts, colour in zip(in_legend(report.class_names), facts.values(), colours, strict=True)
    ]
    legend_below(figure, handles[:24], most=6, fontsize=7)
    save_figure(figure, path)


def _choose(report: BoxReport) -> list[tuple[str, SeenBoxes]]:
    """Images spread evenly over the splits, of readable ones; those with boxes where there are any."""

    def some(split: str, seen: tuple[SeenBoxes, ...], count: int) -> list[tuple[str, SeenBoxes]]:
        good = [one for one in seen if one.size and all(problem.severity != "error" for problem in one.problems)]
        good = [one for one in good if len(one.picture.boxes)] or good
        places = np.linspace(0, len(good) - 1, min(count, len(good))).round().astype(int)
        return [(split, good[place]) for place in places]

    test = some("test", report.test, _DRAWN // 4)
    val = some("val", report.val, _DRAWN // 2 - len(test))
    return some("train", report.train, _DRAWN - len(val) - len(test)) + val + test
