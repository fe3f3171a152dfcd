"""A task of boxes small enough to learn in seconds: find coloured squares."""

from pathlib import Path

import pytest

COLOURED = '''
"""Coloured squares on a dark ground, of which some pictures have several."""

import numpy as np
import optax

from segjax import losses, models
from segjax.data import Dataset
from segjax.decoders import UNetDecoder
from segjax.encoders import ConvEncoder
from segjax.layers import Normalized
from segjax.tasks import Detection, MultiTask
from segjax.train import Experiment
from segjax.upsampling import Bilinear

STAGES = ((8,), (12,), (16,))


def squares(size, seed, most):
    rng = np.random.default_rng(seed)
    records = []
    for number in range(size):
        image, mask = rng.integers(0, 40, (24, 24, 3)), np.zeros((24, 24), np.uint8)
        boxes, labels = [], []
        for place in rng.permutation(2)[: number % (most + 1) if most > 1 else 1]:
            side, label = rng.integers(5, 10), rng.integers(2)
            x, y = rng.integers(0, 12 - side + 1) + 12 * place, rng.integers(0, 24 - side + 1)
            image[y : y + side, x : x + side, 2 * label] += 200
            mask[y : y + side, x : x + side] = label + 1
            boxes.append((x, y, side, side))
            labels.append(label)
        record = {"image": image.astype(np.uint8), "boxes": np.array(boxes, np.float32).reshape(-1, 4)}
        record |= {"labels": np.array(labels, np.int32), "crowd": np.zeros(len(boxes), bool)}
        records.append(record | ({"mask": mask} if most == 1 else {}))
    return records


def experiment(many: bool = False, steps: int = 300, seed: int = 0) -> Experiment:
    """Where the squares are."""
    most = 2 if many else 1
    encoder = ConvEncoder(STAGES)
    if many:
        model = models.CenterNet(2, encoder, UNetDecoder(STAGES[1:-1], Bilinear, finest_stride=2), hidden=8)
    else:
        model = models.MultiHead(
            2,
            encoder,
            mask=models.MaskBox(3, UNetDecoder(STAGES[:-1], Bilinear)),
            box=models.ExtremePointBox(UNetDecoder(STAGES[1:-1], Bilinear, finest_stride=2)),
        )

    def of_many(found, truth):
        targets = found.targets(truth.boxes, truth.labels, truth.crowd)
        return losses.center_loss(found.heatmap, found.size, found.offset, targets)

    def of_one(found, truth):
        return losses.uncertainty_weighted_sum(
            {
                "mask": losses.cross_entropy(found.mask, truth.mask),
                "box": losses.giou_loss(found.box, truth.box, truth.label >= 0),
                "class": losses.cross_entropy(found.logits[:, None, None], truth.label[:, None, None]),
            },
            {name: values.mean() for name, values in found.log_variances.items()},
        )

    return Experiment(
        model=Normalized(model, mean=(0.2,) * 3, std=(0.3,) * 3),
        data=Dataset(
            "squares", ("red", "blue"), ((230, 60, 40), (40, 60, 230)),
            lambda split: squares(*{"train": (96, 0), "val": (5, 2), "test": (7, 1)}[split], most),
        ),
        task=Detection if many else lambda data: MultiTask(data, size=(24, 24)),
        loss=of_many if many else of_one,
        optimizer=optax.adam(optax.cosine_onecycle_schedule(steps, 1e-2)),
        steps=steps,
        batch_size=8,
        evaluate_every=steps,
        seed=seed,
    )
'''


@pytest.fixture
def coloured(tmp_path: Path) -> Path:
    path = tmp_path / "coloured.py"
    path.write_text(COLOURED)
    return path
