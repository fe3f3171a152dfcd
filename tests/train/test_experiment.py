from typing import Any

import optax
import pytest

from segjax import losses, models
from segjax.data import Dataset
from segjax.errors import ExperimentError
from segjax.train import Experiment

DATA = Dataset("dots", ("ground", "dot"), ((0, 0, 0), (255, 255, 255)), open=lambda split: [])
FIELDS: dict[str, Any] = {"model": models.unet(2, 4, depth=1), "data": DATA, "loss": losses.cross_entropy}
FIELDS |= {"optimizer": optax.lbfgs(), "steps": 3}


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        # Neither the host nor a device would augment there.
        ({"augment_on": "gpu"}, "gpu is no augment_on; name one, such as host or device."),
        ({"steps": 2.5}, "steps is 2.5; it must be a whole number."),
        ({"ema": "0.9"}, "ema is '0.9'; it must be a number or None."),
        ({"optimizer": 0.1}, "optimizer is 0.1; it must be a GradientTransformation."),
        ({"loss": "dice"}, "loss is 'dice'; it must be a function."),
        ({"data": "dots"}, "data is 'dots'; it must be a Dataset."),
        ({"model": None}, "model is None; it must be a Module."),
        ({"augment": True}, "augment is True; it must be an Augment or None."),
    ],
)
def test_a_value_of_another_type_is_refused_by_its_name(changed: dict[str, Any], sentence: str):
    with pytest.raises(ExperimentError) as refused:
        Experiment(**FIELDS | changed)
    assert str(refused.value) == sentence


def test_a_model_without_its_brackets_is_none():
    without: dict[str, Any] = FIELDS | {"model": models.unet}
    with pytest.raises(ExperimentError, match=r"^model is <function .*; it must be a Module\.$"):
        Experiment(**without)
    assert Experiment(**FIELDS).steps == 3
