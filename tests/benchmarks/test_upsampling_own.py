import re
from functools import partial
from pathlib import Path

import jax
import numpy as np
import pytest

from benchmarks.upsampling import cells, own
from segjax.errors import DataError

PAGE = Path(__file__).parents[2] / "docs" / "choosing.md"


@pytest.fixture
def mine(tmp_path, monkeypatch) -> Path:
    """The example of the page, as a file; what joins leaves again."""
    for name in ("OWN", "UPSAMPLERS", "LABELS"):
        table = dict(getattr(cells, name))
        for module in (cells, own):
            monkeypatch.setattr(module, name, table)
    example = re.search(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert example is not None
    (tmp_path / "mine.py").write_text(example[1])
    return tmp_path / "mine.py"


def test_the_pages_class_joins_every_family_and_is_matched(mine):
    (name,) = own.join([f"{mine}:Mine"])
    assert own.join([f"{mine}:Mine"]) == (name,)
    assert cells.LABELS[name] == "Mine"
    places = cells.grid("data", 4, 8, ["segnet"], [name])
    cell = places[cells.Place("data", "matched", "segnet", name)]
    assert set(cell.name) <= set("abcdefghijklmnopqrstuvwxyzM0123456789_-")
    init = partial(cells.network(cell, 4).init_with_output, train=False)
    logits, _ = jax.eval_shape(init, jax.random.key(0), jax.ShapeDtypeStruct((1, 33, 47, 3), np.float32))
    assert logits.shape == (1, 33, 47, 4)
    mine.write_text(mine.read_text() + "# edited\n")
    assert own.join([f"{mine}:Mine"]) != (name,)


def test_fields_may_have_types_as_texts(mine):
    text = mine.read_text().replace("    def grow", "    side: int = 3\n\n    def grow")
    mine.write_text(f"from __future__ import annotations\n{text}")
    (name,) = own.join([f"{mine}:Mine"])
    assert cells.OWN[name](side=5).side == 5


@pytest.mark.parametrize(
    ("said", "sentence"), [("nowhere.py:Mine", "names no file"), ("{}:Other", "has no class Other")]
)
def test_what_is_no_upsampler_is_refused(mine, said, sentence):
    with pytest.raises(DataError, match=sentence):
        own.join([said.format(mine)])
