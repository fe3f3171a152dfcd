import os
import subprocess
import sys
from pathlib import Path

import pytest

from segjax import eigen

OPTION = "--xla_cpu_experimental_ynn_fusion_type"

EXPERIMENT = """
import os
import jax, jax.numpy as jnp
from segjax import ops
of_kernel = jax.jit(jax.grad(lambda kernel, x: ops.conv(x, kernel, 1).sum()))
compiled = of_kernel.lower(jnp.ones((3, 3, 16, 24)), jnp.ones((4, 16, 16, 16))).compile().as_text()
print(os.environ.get("XLA_FLAGS"), "ynn" in compiled, compiled.count(" convolution("))
experiment = None
"""


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (None, f"{OPTION}=LIBRARY_FUSION_TYPE_DOT,LIBRARY_FUSION_TYPE_REDUCE"),
        ("--xla_dump_to=there", f"--xla_dump_to=there {OPTION}=LIBRARY_FUSION_TYPE_DOT,LIBRARY_FUSION_TYPE_REDUCE"),
        (
            f"{OPTION}=LIBRARY_FUSION_TYPE_DOT,LIBRARY_FUSION_TYPE_REDUCE",
            f"{OPTION}=LIBRARY_FUSION_TYPE_DOT,LIBRARY_FUSION_TYPE_REDUCE",
        ),
        (
            f"{OPTION}=LIBRARY_FUSION_TYPE_INDIVIDUAL_CONVOLUTION",
            f"{OPTION}=LIBRARY_FUSION_TYPE_INDIVIDUAL_CONVOLUTION",
        ),
    ],
)
def test_who_chose_is_heard(before: str | None, after: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("XLA_FLAGS", before or "")  # set, so that what it was comes back when the test has ended
    if before is None:
        monkeypatch.delenv("XLA_FLAGS")
    eigen.convolve_by_eigen()
    assert os.environ["XLA_FLAGS"] == after
    assert eigen.by_eigen() == ("CONVOLUTION" not in after)
    del os.environ["XLA_FLAGS"]
    assert not eigen.by_eigen()


def test_a_jaxlib_that_may_not_know_the_option_is_not_given_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("XLA_FLAGS", "")
    monkeypatch.delenv("XLA_FLAGS")
    for version in ("0.13.0", "0.9.2", "1.0"):
        monkeypatch.setattr(eigen, "version", lambda name, version=version: version)
        eigen.convolve_by_eigen()
    assert "XLA_FLAGS" not in os.environ


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ("", f" {OPTION}=LIBRARY_FUSION_TYPE_DOT,LIBRARY_FUSION_TYPE_REDUCE False 1"),
        (f"{OPTION}=", f"{OPTION}= False 1"),
    ],
)
def test_a_command_convolves_by_it(flags: str, said: str, tmp_path: Path):
    path = tmp_path / "said.py"
    path.write_text(EXPERIMENT)
    process = subprocess.run(
        [sys.executable, "-m", "segjax", "train", str(path)],
        env=os.environ | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert process.stdout.splitlines()[0].strip() == said.strip(), process.stderr
