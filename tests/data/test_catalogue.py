import pytest

from segjax import data
from segjax.data.catalogue import CATALOGUE, NAMES, by_name
from segjax.errors import DataError


@pytest.mark.parametrize(
    "name", [name for name in NAMES if name not in ("coco", "voc", "labelled", "folder", "packed")]
)
def test_a_set_by_its_name(name):
    dataset = by_name(name, root=None, groups=None)  # what is not given
    assert dataset.augment is not None
    assert (dataset.statistics is None) == (name in ("trees", "faces"))
    assert len(dataset.palette) == len(dataset.class_names)
    with pytest.raises(ValueError, match="has the splits train, val and test, not 'other'"):
        dataset.open("other")


def test_options_go_to_the_sets_own_function(make_folder):
    assert len(by_name("land_cover", groups=7).class_names) == 7
    assert by_name("islands", objects="many").name == by_name("islands_many").name == "islands/many"
    root = make_folder()
    assert by_name("folder", root=root).statistics == data.folder(root).statistics
    assert by_name("coco", root="images", train="train.json", class_names=("a",)).augment is not None


@pytest.mark.parametrize(
    ("name", "options", "sentence"),
    [
        ("land_covr", {}, "land_covr is no data set; name one, such as land_cover"),
        ("zzz", {}, "zzz is no data set; name one, such as land_cover or nuclei or "),
        ("nuclei", {"root": "here"}, "The data set nuclei does not take root: it takes no option"),
        ("trees", {"groups": 4, "a": 1}, "The data set trees does not take a, groups: it takes no option"),
        ("land_cover", {"root": "here"}, "The data set land_cover does not take root: it takes only groups"),
        ("coco", {}, "The data set coco needs root and train: say which"),
        ("folder", {"root": "/nowhere"}, "/nowhere is not there"),
    ],
)
def test_what_cannot_be_made_is_said(name, options, sentence):
    with pytest.raises(DataError, match=sentence) as caught:
        by_name(name, **options)
    assert str(caught.value).splitlines()[0].endswith(".")


def test_every_name_is_there_once():
    assert len(set(NAMES)) == len(NAMES) == len(CATALOGUE)
    assert all(entry.what.endswith(".") or ";" in entry.what for entry in CATALOGUE)
