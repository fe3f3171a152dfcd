from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import pytest

from segjax import decoders, encoders, models
from segjax.flops import flops_of
from segjax.models import summary


def counted(model: Any, size: int = summary.SIZE) -> dict[str, int]:
    """Parameters and operations, of which nothing is compiled."""
    run = jax.make_jaxpr(partial(model.init_with_output, train=False), return_shape=True)
    program, (_, variables) = run(jax.random.key(0), jax.ShapeDtypeStruct((1, size, size, 3), jnp.float32))
    return {"parameters": sum(leaf.size for leaf in jax.tree.leaves(variables["params"])), "flops": flops_of(program)}


def test_the_table_has_all_that_there_is():
    table = {kind: [row["name"] for row in rows] for kind, rows in summary.listed().items()}
    assert table == {
        "published": list(models.PUBLISHED),
        "decoders": list(decoders.BY_NAME),
        "encoders": list(encoders.BY_NAME),
    }


@pytest.mark.parametrize(
    ("kind", "name", "make"),
    [
        ("published", "segnet", models.segnet),
        ("encoders", "convnextv2_atto", encoders.convnextv2_atto),
        ("decoders", "segnet", lambda: summary.combination("segnet", "vgg16_bn")),
    ],
)
def test_the_table_is_what_is_counted(kind, name, make):
    (row,) = (row for row in summary.listed()[kind] if row["name"] == name)
    assert counted(make()) == {key: row[key] for key in ("parameters", "flops")}


def test_everything_in_the_table_holds_its_parameters_and_the_image():
    for row in (row for rows in summary.listed().values() for row in rows):
        whole = 4 * (row["parameters"] + 3 * summary.SIZE**2)
        assert whole < row["peak_memory"] < 3 * whole + 2**28, row["name"]


def test_memory_holds_the_variables_the_image_and_the_logits():
    model = models.unet(2, 4, depth=1)
    found = summary.size_of(model, 16)
    assert {key: found[key] for key in ("parameters", "flops")} == counted(model, 16)
    whole = 4 * (found["parameters"] + 16 * 16 * (3 + 2))
    assert whole < found["peak_memory"] < whole + 4 * 16 * 16 * 8 * 8
