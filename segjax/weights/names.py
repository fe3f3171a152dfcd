"""What brings the names of files to those that encoders follow, where they differ: patterns for `from_torch`."""

Names = tuple[tuple[str, str], ...]

DENSENET: Names = ((r"(denselayer\d+\.(?:norm|conv))\.(\d)\.", r"\1\2."),)
"""torchvision's files are older than the names that its model has."""

CONVNEXT: Names = (
    (r"^features\.0\.", "stem."),
    *((rf"^features\.{2 * i + 1}\.", f"stages.{i}.blocks.") for i in range(4)),
    *((rf"^features\.{2 * i}\.", f"stages.{i}.downsample.") for i in range(1, 4)),
    (r"\.block\.0\.", ".conv_dw."),
    (r"\.block\.2\.", ".norm."),
    (r"\.block\.3\.", ".mlp.fc1."),
    (r"\.block\.5\.", ".mlp.fc2."),
    (r"\.layer_scale$", ".gamma"),
    (r"^classifier\.", "head."),
)
"""torchvision's, to timm's."""

REGNET: Names = (
    *((rf"^trunk_output\.block(\d)\.block\d-{j}\.", rf"s\1.b{j + 1}.") for j in range(30)),
    *((rf"\.f\.{letter}\.", f".conv{i}.") for i, letter in enumerate("abc", start=1)),
    (r"\.f\.se\.", ".se."),
    (r"\.proj\.", ".downsample."),
    (r"^((?:stem|s\d\.b\d+\.(?:conv\d|downsample)))\.0\.", r"\1.conv."),
    (r"^((?:stem|s\d\.b\d+\.(?:conv\d|downsample)))\.1\.", r"\1.bn."),
    (r"^fc\.", "head."),
)
"""torchvision's, to timm's."""

HED: Names = tuple(
    (rf"^block{block}_conv{i}\.", f"features.{place}.")
    for block, places in enumerate(((0, 2), (5, 7), (10, 12, 14), (17, 19, 21), (24, 26, 28)), start=1)
    for i, place in enumerate(places, start=1)
)
"""Keras's of VGG-16, to torchvision's."""


def mobilenet_v3(stages: tuple[str, ...]) -> Names:
    """torchvision's, which count blocks and the layers of each through, to timm's.

    `stages` has a letter for each block: "s" for a separable convolution, "i" for an inverted residual, "c" for one
    convolution; upper case where channels are weighed.
    """
    found = [(r"^features\.0\.0\.", "conv_stem."), (r"^features\.0\.1\.", "bn1.")]
    places = [(i, j, kind) for i, stage in enumerate(stages) for j, kind in enumerate(stage)]
    for number, (i, j, kind) in enumerate(places, start=1):
        path, original = f"blocks.{i}.{j}.", rf"^features\.{number}\."
        if kind == "c":
            found += [(rf"{original}0\.", f"{path}conv."), (rf"{original}1\.", f"{path}bn1.")]
            continue
        convs = ("conv_dw", "conv_pw") if kind in "sS" else ("conv_pw", "conv_dw", "conv_pwl")
        for k, conv in enumerate(convs):
            layer = k + (kind.isupper() and conv == convs[-1])
            found += [(rf"{original}block\.{layer}\.0\.", f"{path}{conv}.")]
            found += [(rf"{original}block\.{layer}\.1\.", f"{path}bn{k + 1}.")]
        for old, new in (("fc1", "conv_reduce"), ("fc2", "conv_expand")):
            found += [(rf"{original}block\.\d\.{old}\.", f"{path}se.{new}.")]
    return tuple(found)


def lite(blocks: tuple[int, ...]) -> Names:
    """efficientnet_pytorch's, which count blocks through, to timm's; `blocks` says how many a stage has."""
    found = [
        (r"^_conv_(stem|head)\.", r"conv_\1."),
        (r"^_bn0\.", "bn1."),
        (r"^_bn1\.", "bn2."),
        (r"^_fc\.", "classifier."),
    ]
    places = [(i, j) for i, count in enumerate(blocks) for j in range(count)]
    for number, (i, j) in enumerate(places):
        first = i == 0  # without a convolution to more channels, and so with one norm fewer
        parts = {"depthwise_conv": "conv_dw", "project_conv": "conv_pw" if first else "conv_pwl"}
        parts |= {} if first else {"expand_conv": "conv_pw"}
        parts |= {"se_reduce": "se.conv_reduce", "se_expand": "se.conv_expand"}
        parts |= {f"bn{k}": f"bn{k if first else k + 1}" for k in range(1 if first else 0, 3)}
        found += [(rf"^_blocks\.{number}\._{old}\.", f"blocks.{i}.{j}.{new}.") for old, new in parts.items()]
    return tuple(found)


def _mobilenet_v2() -> Names:
    """timm's, which count blocks stage by stage, to torchvision's."""
    found = [
        (r"^conv_stem\.", "features.0.0."),
        (r"^conv_head\.", "features.18.0."),
        (r"^bn1\.", "features.0.1."),
        (r"^bn2\.", "features.18.1."),
        (r"^classifier\.", "classifier.1."),
    ]
    places = [(i, j) for i, count in enumerate((1, 2, 3, 4, 3, 3, 1)) for j in range(count)]
    for number, (i, j) in enumerate(places, start=1):
        convs = ("conv_dw", "conv_pw") if number == 1 else ("conv_pw", "conv_dw", "conv_pwl")
        for k, conv in enumerate(convs):
            last = k == len(convs) - 1
            where = (str(k), str(k + 1)) if last else (f"{k}.0", f"{k}.1")
            for old, new in zip((conv, f"bn{k + 1}"), where, strict=True):
                found += [(rf"^blocks\.{i}\.{j}\.{old}\.", f"features.{number}.conv.{new}.")]
    return tuple(found)


MOBILENET_V2 = _mobilenet_v2()
