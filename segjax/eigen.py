"""Which library XLA convolves with on a CPU: YNNPACK, which jaxlib has by default from 0.10 on, or Eigen.

Eigen takes 0.5 to 1.0 times as long forward and 0.15 to 0.9 times for the kernel's gradient. A process chooses before
it compiles anything.
"""

import os
import re
from importlib.metadata import version

_OPTION = "xla_cpu_experimental_ynn_fusion_type"
"""What XLA leaves to YNNPACK; a jaxlib that does not know the option ends the process."""
_OTHERS = "LIBRARY_FUSION_TYPE_DOT,LIBRARY_FUSION_TYPE_REDUCE"
"""All that jaxlib leaves to it but convolutions."""
_KNOWN = ("0.10.", "0.11.", "0.12.")
"""The versions of jaxlib that know both."""


def convolve_by_eigen() -> None:
    """Choose Eigen for this process and its children, where `XLA_FLAGS` does not choose and jaxlib has the choice."""
    flags = os.environ.get("XLA_FLAGS", "")
    if _OPTION not in flags and version("jaxlib").startswith(_KNOWN):
        os.environ["XLA_FLAGS"] = f"{flags} --{_OPTION}={_OTHERS}".lstrip()


def by_eigen() -> bool:
    """Whether Eigen was chosen."""
    chosen = re.search(rf"--{_OPTION}=(\S*)", os.environ.get("XLA_FLAGS", ""))
    return chosen is not None and "CONVOLUTION" not in chosen[1]
