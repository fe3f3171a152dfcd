"""What the signatures of segjax are held to while its tests run: pytest's `--jaxtyping-packages` names it."""

import inspect
from collections.abc import Callable
from typing import Any

from beartype import BeartypeConf, beartype


def checked(function: Callable) -> Callable:
    """The arguments together with the result, once there is one: a call that is refused raises its own error.

    jaxtyping asks for a check of the arguments alone, too, and asks by a signature that returns anything.
    """
    if inspect.signature(function).return_annotation is Any:
        return function
    return beartype(conf=BeartypeConf(is_pep484_tower=True))(function)
