"""ONNX files of segjax beside PyTorch's of the same networks, in ONNX Runtime: `python -m benchmarks.export_latency`.

Networks of segmentation_models.pytorch with random weights are written by `torch.onnx.export`, and opened by
`segjax.from_pretrained` and written by `segjax.export`. Both files take uint8 images as they are and give probabilities
(n h w k), with the normalisation inside; they must agree. They take turns in one process, with the same threads.
Prints a markdown table; a ratio below one is faster than PyTorch's file.
"""

import argparse
import os
import tempfile
import warnings
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch

import segjax
from benchmarks.report import machine, markdown, versions
from benchmarks.timing import race
from benchmarks.torch_zoo import smp
from segjax.cli.arguments import count
from segjax.export import export_model

NETWORKS = (("Unet", "resnet18"), ("DeepLabV3Plus", "mobilenet_v2"), ("Segformer", "mit_b0"))
CLASSES = 5


class FromPixels(torch.nn.Module):
    """What goes into segjax's file beside the network: ImageNet's normalisation before it, softmax behind it."""

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, net: torch.nn.Module) -> None:
        super().__init__()
        self.net = net
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]))
        self.register_buffer("std", torch.tensor([0.229, 0.224, 0.225]))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Probabilities (n h w k) of uint8 images (n h w 3)."""
        x = (image.float() / 255 - self.mean) / self.std
        return self.net(x.permute(0, 3, 1, 2)).softmax(1).permute(0, 2, 3, 1)


def files(kind: str, encoder: str, image: np.ndarray, folder: Path) -> dict[str, Path]:
    """The same network, written by each."""
    torch.manual_seed(0)
    net = getattr(smp, kind)(encoder, encoder_weights=None, classes=CLASSES).eval()
    for part in net.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            part.get_buffer("running_mean").normal_()
            part.get_buffer("running_var").uniform_(0.5, 2)
    net.save_pretrained(folder)
    paths = {name: folder / f"{name}.onnx" for name in ("torch", "segjax")}
    names: Any = {"input_names": ["image"], "output_names": ["probabilities"]}
    with warnings.catch_warnings(
        action="ignore"
    ):  # the exporter by tracing needs no further package, and says it is old
        example = torch.from_numpy(image[None])
        torch.onnx.export(FromPixels(net).eval(), (example,), paths["torch"], **names, opset_version=18, dynamo=False)
    model, variables = segjax.from_pretrained(folder)
    export_model(model, variables, paths["segjax"], "onnx", [image], size=image.shape[:2])  # type: ignore[arg-type]
    return paths


def session(path: Path, threads: int) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    # Threads that wait busily would take the other's turn.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def nodes(path: Path) -> str:
    """How many, and the most frequent kinds, without constants."""
    kinds = Counter(node.op_type for node in onnx.load(path).graph.node if node.op_type not in ("Constant", "Identity"))
    return f"{kinds.total()}: {', '.join(f'{number} {kind}' for kind, number in kinds.most_common(4))}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.export_latency", description="ONNX beside PyTorch's.")
    parser.add_argument("--size", nargs=2, type=count, default=(256, 256), metavar=("H", "W"))
    parser.add_argument("--threads", type=count, default=os.cpu_count())
    parser.add_argument("--rounds", type=count, default=21)
    options = parser.parse_args()
    image = np.random.default_rng(0).integers(0, 256, (*options.size, 3)).astype(np.uint8)
    rows = []
    for kind, encoder in NETWORKS:
        with tempfile.TemporaryDirectory() as folder:
            paths = files(kind, encoder, image, Path(folder))
            sessions = {name: session(path, options.threads) for name, path in paths.items()}
            runs = {name: partial(each.run, None, {"image": image[None]}) for name, each in sessions.items()}
            difference = np.abs(np.asarray(runs["segjax"]()[0]) - np.asarray(runs["torch"]()[0])).max()
            if not difference < 1e-4:
                raise SystemExit(f"{kind} of {encoder} differs from PyTorch's file by {difference:.1e}.")
            taken = race(runs, rounds=options.rounds, warmup=2)
            ours, theirs = taken["segjax"], taken["torch"]
            sizes = [f"{paths[name].stat().st_size / 1e6:.2f}" for name in ("segjax", "torch")]
            times = [f"{1e3 * each.seconds:.1f}" for each in (ours, theirs)]
            ratio = f"{ours.seconds / theirs.seconds:.2f}" + ("" if ours.quiet else " (busy)")
            kinds = [nodes(paths[name]) for name in ("segjax", "torch")]
            rows.append([f"{kind}, {encoder}", *times, ratio, *sizes, f"{difference:.0e}", *kinds])
            print(*rows[-1], sep=" | ", flush=True)
    found = ", ".join(f"{name} {version}" for name, version in versions("onnxruntime", "torch", "jax").items())
    print(f"\n{machine()}, {options.threads} threads; {found}; one image of {options.size[0]}x{options.size[1]}\n")
    head = ["network", "segjax ms", "torch ms", "ratio", "segjax MB", "torch MB", "difference"]
    print(markdown([*head, "segjax nodes", "torch nodes"], rows))


if __name__ == "__main__":
    main()
