import pytest

from segjax.errors import nearest


@pytest.mark.parametrize(
    ("name", "offered"),
    [("land_covr", "land_cover"), ("tree", "trees"), ("zzz", "land_cover or trees or islands")],
)
def test_the_nearest_names_are_offered_and_all_where_none_is_near(name: str, offered: str):
    assert nearest(name, ["land_cover", "trees", "islands"]) == offered
