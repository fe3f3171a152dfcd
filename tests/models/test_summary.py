import pytest

from segjax import decoders, encoders, models
from segjax.models import summary


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
    assert summary.size_of(make()) == {key: row[key] for key in ("parameters", "flops")}


def test_everything_in_the_table_holds_its_parameters_and_the_image():
    for row in (row for rows in summary.listed().values() for row in rows):
        whole = 4 * (row["parameters"] + 3 * summary.SIZE**2)
        assert whole < row["peak_memory"] < 3 * whole + 2**28, row["name"]


def test_memory_holds_the_variables_the_image_and_the_logits():
    model = models.unet(2, 4, depth=1)
    found = summary.whole_size_of(model, 16)
    assert {key: found[key] for key in ("parameters", "flops")} == summary.size_of(model, 16)
    whole = 4 * (found["parameters"] + 16 * 16 * (3 + 2))
    assert whole < found["peak_memory"] < whole + 4 * 16 * 16 * 8 * 8
