import re
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from segjax import encoders
from segjax.errors import ExperimentError, at_least, counted, counts, made_by_name, nearest


@pytest.mark.parametrize(
    ("name", "offered"),
    [("land_covr", "land_cover"), ("tree", "trees"), ("zzz", "land_cover or trees or islands")],
)
def test_the_nearest_names_are_offered_and_all_where_none_is_near(name: str, offered: str):
    assert nearest(name, ["land_cover", "trees", "islands"]) == offered


def test_one_thing_is_no_several():
    assert [counted(n, "image") for n in (0, 1, 2)] == ["0 images", "1 image", "2 images"]
    assert [counted(2, what) for what in ("box", "class")] == ["2 boxes", "2 classes"]


def test_a_field_that_there_is_not_is_said_with_the_nearest():
    known = {"point": Fraction, "any": lambda **fields: fields}
    assert made_by_name("point", known, "number", numerator=1, denominator=2) == Fraction(1, 2)
    assert made_by_name("any", known, "number", name=3) == {"name": 3}
    with pytest.raises(ExperimentError, match="The number point has no field numerato; name one, such as numerator"):
        made_by_name("point", known, "number", numerato=1)
    with pytest.raises(ExperimentError, match="The encoder densenet121 has no field output_stride; name one, such as"):
        encoders.named("densenet121", output_stride=8)


@pytest.mark.parametrize("value", [2.5, 2.0, "8", True, np.nan, np.inf, np.float32(2), 0, np.int64(0)])
def test_what_counts_is_a_whole_number(value: object):
    with pytest.raises(
        ExperimentError, match=f"^{re.escape(f'steps is {value!r}')}; it must be a whole number, at least 1"
    ):
        counts(1, steps=value)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", ["1e-3", True, np.nan, np.inf, -0.1, np.float32(-1)])
def test_what_measures_is_a_finite_number(value: object):
    with pytest.raises(ExperimentError, match=f"^{re.escape(f'rate is {value!r}')}; it must be a number, at least 0"):
        at_least(0, rate=value)  # type: ignore[arg-type]


def test_numbers_are_pythons_or_numpys():
    whole: dict[str, Any] = {"width": np.int64(3), "size": np.uint8(2)}
    counts(1, steps=1, crop=None, **whole)
    finite: dict[str, Any] = {"decay": np.float32(0.5), "share": np.float64(1)}
    at_least(0, rate=0, weight=1.5, other=None, **finite)
