import re

import pytest

from segjax.errors import DataError
from segjax.weights import RECORDS, named, of_encoder
from segjax.weights.record import Hub, Url, Wheel


@pytest.mark.parametrize("name", RECORDS)
def test_every_record_is_whole(name: str):
    record = named(name)
    assert record.name == name
    assert name.startswith(f"{record.encoder}.")
    assert record.licence
    assert record.parameters > 1e6
    assert re.search(r"arXiv:\d{4}\.\d{4,5}", record.paper)
    match record.source:
        case Wheel(sha256=wheel):
            assert re.fullmatch("[0-9a-f]{64}", wheel)
            assert re.fullmatch("[0-9a-f]{64}", record.sha256 or "")
        case Url(address=address):
            assert re.fullmatch("[0-9a-f]{8}", record.sha256 or "")
            assert address.endswith(f"-{record.sha256}.pth")
        case Hub(revision=revision):
            assert revision == "main" or re.fullmatch("[0-9a-f]{40}", revision)
    for pattern, replacement in record.names:
        re.compile(pattern)
        assert replacement


def test_statistics_are_of_red_green_and_blue_in_0_to_1():
    assert named("resnet34.imagenet").statistics == {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
    lite = named("efficientnet_lite0.imagenet").statistics  # (x - 127) / 128 of 0..255
    assert [(200 / 255 - m) / s for m, s in zip(lite["mean"], lite["std"], strict=True)] == pytest.approx(
        [73 / 128] * 3
    )
    hed = named("vgg16.hed").statistics  # blue first in the file, and only the mean taken off
    assert (200 / 255 - hed["mean"][0]) / hed["std"][0] == pytest.approx(200 - 122.67892)


def test_an_encoder_has_its_own_weights_first():
    assert of_encoder("resnet50").name == "resnet50.imagenet"
    assert of_encoder("vgg16").name == "vgg16.imagenet"


def test_names_that_there_are_not_get_the_nearest():
    with pytest.raises(DataError, match=r"There are no weights named resnet34\.imagnet: .* such as resnet34\.imagenet"):
        named("resnet34.imagnet")
    with pytest.raises(DataError, match=r"no weights named resnet43: .* such as resnet34\.imagenet"):
        named("resnet43")
    with pytest.raises(DataError, match=r"There are no weights of xy: name one that `segjax weights` lists\.$"):
        of_encoder("xy")


def test_mit_says_its_own_terms():
    assert "not for commercial use" in named("mit_b0.imagenet").licence
