from pathlib import Path

import pytest

import segjax
from segjax.runs import read_experiment
from segjax.train.speed import known_peak


@pytest.mark.parametrize(
    ("kind", "tera"),
    [
        ("NVIDIA H100 80GB HBM3", 989),
        ("NVIDIA A100-SXM4-40GB", 312),
        ("NVIDIA L4", 121),
        ("NVIDIA L40S", 362),
        ("Tesla V100-SXM2-16GB", 125),
        ("AMD Instinct MI300X", 1307),
        ("TPU v5 lite", 197),
        ("TPU v5p", 459),
        ("TPU v6 lite", 918),
        ("TPU7x", 2307),
    ],
)
def test_a_device_is_known_by_the_words_of_its_name(kind: str, tera: int):
    assert known_peak(kind) == tera * 1e12


@pytest.mark.parametrize("kind", ["cpu", "NVIDIA L400", "NVIDIA GeForce RTX 5090"])
def test_no_device_is_taken_for_another(kind: str):
    assert known_peak(kind) is None


def test_a_step_counts_the_products_that_it_means(squares: Path, tmp_path: Path):
    """Whatever XLA makes of them: forward, and again by kernels and by what they convolve, but for the images."""
    run = segjax.train(read_experiment(squares).build({"steps": 2}), out=tmp_path / "run")
    first, head = 3 * 3 * 3 * 8, 8 * 2
    assert run.report()["flops_per_step"] == 2 * 4 * 16 * 16 * (2 * first + 3 * head)
