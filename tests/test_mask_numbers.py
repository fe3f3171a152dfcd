"""More classes than a byte holds, from a folder of masks to what is predicted: ids above 255 stay what they are."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segjax.data.formats.mask_files import read_mask
from segjax.mask_numbers import MOST_CLASSES, ignored, ignored_in, mask_type

COUNT = 300
TELLS_COLOURS = '''
import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from segjax import losses
from segjax.data import Augment, folder
from segjax.train import Experiment


class Told(nn.Module):
    """Red and green say the class; how sure that is, is learned."""

    @nn.compact
    def __call__(self, image, *, train):
        red, green, _ = jnp.moveaxis(image.astype(jnp.int32), -1, 0)
        sure = self.param("sure", nn.initializers.constant(1.0), ())
        return sure * jax.nn.one_hot(red + 256 * green, 300)


def experiment(root: str = "", steps: int = 4) -> Experiment:
    """Its own colours."""
    return Experiment(
        model=Told(),
        data=folder(root),
        loss=losses.cross_entropy,
        optimizer=optax.sgd(1.0),
        steps=steps,
        batch_size=2,
        augment=Augment(crop=(16, 16), quarter_turns=True, rare_crops=0.5, copy_paste=0.5, cutmix=0.5, mosaic=0.5),
        evaluate_every=4,
    )
'''


def test_a_byte_as_long_as_it_holds_all_classes():
    assert [mask_type(count).name for count in (1, 255, 256, MOST_CLASSES)] == ["uint8", "uint8", "uint16", "uint16"]
    assert [ignored(count) for count in (255, 256)] == [255, 65535]
    assert [ignored_in(np.zeros(1, mask_type(count))) for count in (255, 256)] == [255, 65535]
    with pytest.raises(ValueError, match="at most 65535 classes, not 65536"):
        mask_type(MOST_CLASSES + 1)


@pytest.fixture
def many(tmp_path: Path) -> Path:
    """Six images of blocks whose colours say their class; in the first corner the colour is wrong, and ignored."""
    rng = np.random.default_rng(0)
    for number in range(6):
        ids = rng.integers(0, COUNT, (6, 6))
        ids[0, :4] = 255, 256, COUNT - 1, 0
        mask = np.kron(ids, np.ones((4, 4), int)).astype(np.uint16)
        image = np.stack([mask % 256, mask // 256, mask * 0], axis=-1).astype(np.uint8)
        mask[:2, :2] = 65535
        for name, pixels in (("images", image), ("masks", mask)):
            (tmp_path / "many" / name).mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(tmp_path / "many" / name / f"{number}.png")
    (tmp_path / "many/classes.txt").write_text("".join(f"kind {number}\n" for number in range(COUNT)))
    return tmp_path / "many"


def test_three_hundred_classes_train_go_on_and_are_predicted_as_they_are(many: Path, tmp_path: Path, forks):
    (tmp_path / "told.py").write_text(TELLS_COLOURS)
    run = tmp_path / "run"
    code, said = forks.run("train", tmp_path / "told.py", "--root", many, "--out", run)
    assert code == 0, said
    assert "miou 1.000" in said  # the colours tell all that counts, and nothing else does
    code, said = forks.run("train", "--resume", run, "--steps", "6")
    assert code == 0, said
    code, said = forks.run("evaluate", run, "--per-image", tmp_path / "images")
    assert code == 0, said
    assert "miou 1.000" in said
    assert not (tmp_path / "images/confusion.csv").exists()
    code, said = forks.run("predict", run, many / "images", "--out", tmp_path / "out")
    assert code == 0, said
    for file in (many / "masks").iterdir():
        true, found = read_mask(file, num_classes=COUNT), np.asarray(Image.open(tmp_path / "out" / file.name))
        assert found.dtype == np.uint16
        np.testing.assert_array_equal(found[true != 65535], true[true != 65535])
        assert (found[:2, :2] == 255).all()  # a class like any other
