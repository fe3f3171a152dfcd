"""The pictures that a run draws: its curves, and what it predicts."""

from pathlib import Path
from typing import Any

import jax
import matplotlib
import numpy as np
from flax import linen as nn
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from segjax.data import Dataset, Source
from segjax.train.state import Variables

_EXAMPLES = 6
_RIGHT, _WRONG, _IGNORED = (238, 238, 238), (204, 51, 63), (120, 120, 120)


def draw_curves(folder: Path, rows: list[dict[str, Any]], data: Dataset) -> None:
    """Write curves.png: the training loss, the mIoU of both splits, and the test IoU of every class."""
    train = [(row["step"], row["train"]) for row in rows if "train" in row]
    test = [(row["step"], row["test"]) for row in rows if "test" in row]
    figure = Figure(figsize=(13, 3.6), layout="constrained")
    loss, miou, iou = figure.subplots(1, 3)
    loss.plot([s for s, _ in train], [r["loss"] for _, r in train], color="#444444", linewidth=1.2)
    loss.set_title("training loss")
    steps = [s for s, _ in test]
    miou.plot([s for s, _ in train], [r["miou"] for _, r in train], color="#bbbbbb", linewidth=1, label="train")
    miou.plot(steps, [r["miou"] for _, r in test], color="#c0392b", marker="o", markersize=3, label="test")
    miou.set_title("mean IoU" + (f": {test[-1][1]['miou']:.3f} on the test split" if test else ""))
    for name, colour in zip(data.class_names, data.palette, strict=True):
        values = [np.nan if (v := r["iou"][name]) is None else v for _, r in test]
        iou.plot(steps, values, color=np.array(colour) / 255, marker="o", markersize=3, label=name)
    iou.set_title("test IoU by class")
    for axes in (miou, iou):
        axes.set_ylim(0, 1)
        axes.legend(loc="lower right", fontsize=8, frameon=False)
    for axes in (loss, miou, iou):
        axes.set_xlabel("step")
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25)
    save(figure, folder, "curves.png")


def draw_predictions(folder: Path, model: nn.Module, variables: Variables, source: Source, data: Dataset) -> None:
    """Write predictions.png: for a few test records, spread evenly, the image, the truth, the prediction, the error."""
    indices = np.unique(np.linspace(0, len(source) - 1, _EXAMPLES).round().astype(int))
    apply = jax.jit(lambda image: model.apply(variables, image, train=False).argmax(-1))  # type: ignore[union-attr]
    figure = Figure(figsize=(2.0 * len(indices) + 0.4, 8.6), layout="constrained")
    grid = figure.subplots(4, len(indices), squeeze=False)
    for column, index in zip(grid.T, indices, strict=True):
        record = source[int(index)]
        truth, prediction = record["mask"], np.asarray(apply(record["image"][None]))[0]
        counted = truth != 255
        right = truth == prediction
        error = np.where(right[..., None], _RIGHT, _WRONG)
        error = np.where(counted[..., None], error, _IGNORED).astype(np.uint8)
        shown = (rgb(record["image"]), _coloured(truth, data), _coloured(prediction, data), error)
        for axes, picture in zip(column, shown, strict=True):
            axes.imshow(picture, interpolation="nearest")
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_visible(False)
        if counted.any():
            column[3].set_xlabel(f"{right[counted].mean():.0%} right", fontsize=9)
    for axes, title in zip(grid[:, 0], ("image", "truth", "prediction", "error"), strict=True):
        axes.set_ylabel(title, fontsize=11)
    patches = [
        Patch(color="#{:02x}{:02x}{:02x}".format(*colour), label=name)
        for name, colour in zip(data.class_names, data.palette, strict=True)
    ]
    figure.legend(handles=patches, loc="outside lower center", ncols=min(len(patches), 8), frameon=False, fontsize=9)
    save(figure, folder, "predictions.png")


def save(figure: Figure, folder: Path, name: str) -> None:
    """Write a figure whole or not at all."""
    partial = folder / f".{name}.partial"
    with matplotlib.rc_context({"savefig.dpi": 110}):
        figure.savefig(partial, format="png")
    partial.replace(folder / name)


def rgb(image: np.ndarray) -> np.ndarray:
    """The first three channels, brightened as far as the picture allows; a grey image in all three."""
    rgb = image[..., :3] if image.shape[-1] >= 3 else np.repeat(image[..., :1], 3, axis=-1)
    top = max(1.0, float(np.percentile(rgb, 99.5)))
    return (np.clip(rgb / top, 0, 1) ** 0.8 * 255).astype(np.uint8)


def _coloured(mask: np.ndarray, data: Dataset) -> np.ndarray:
    table = np.full((256, 3), _IGNORED, np.uint8)
    table[: len(data.palette)] = data.palette
    return table[mask]
