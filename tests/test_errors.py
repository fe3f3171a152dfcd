from fractions import Fraction

import pytest

from segjax import encoders
from segjax.errors import ExperimentError, made_by_name, nearest


@pytest.mark.parametrize(
    ("name", "offered"),
    [("land_covr", "land_cover"), ("tree", "trees"), ("zzz", "land_cover or trees or islands")],
)
def test_the_nearest_names_are_offered_and_all_where_none_is_near(name: str, offered: str):
    assert nearest(name, ["land_cover", "trees", "islands"]) == offered


def test_a_field_that_there_is_not_is_said_with_the_nearest():
    known = {"point": Fraction, "any": lambda **fields: fields}
    assert made_by_name("point", known, "number", numerator=1, denominator=2) == Fraction(1, 2)
    assert made_by_name("any", known, "number", name=3) == {"name": 3}
    with pytest.raises(ExperimentError, match="The number point has no field numerato; name one, such as numerator"):
        made_by_name("point", known, "number", numerato=1)
    with pytest.raises(ExperimentError, match="The encoder densenet121 has no field output_stride; name one, such as"):
        encoders.named("densenet121", output_stride=8)
