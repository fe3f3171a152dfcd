import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten pictures of squares with their masks."""
    root = tmp_path_factory.mktemp("data") / "squares"
    rng = np.random.default_rng(0)
    for name in ("images", "masks"):
        (root / name).mkdir(parents=True)
    for i in range(10):
        mask = np.zeros((32, 32), np.uint8)
        top, left = rng.integers(0, 17, 2)
        mask[top : top + 15, left : left + 15] = 1
        image = (mask[..., None] * 150 + rng.integers(0, 40, (32, 32, 3))).astype(np.uint8)
        cv2.imwrite(str(root / "images" / f"{i}.png"), image)
        cv2.imwrite(str(root / "masks" / f"{i}.png"), mask)
    (root / "classes.txt").write_text("ground\nsquare\n")
    return root


@pytest.fixture
def run_command() -> Callable[[list[str]], subprocess.CompletedProcess[str]]:
    """The upsampling benchmark as a command."""

    def run(options: list[str]) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "benchmarks.upsampling", *options, "--workers", "1"]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280)

    return run
