"""What is asked of the parts that a model is made of."""

import flax.linen as nn


def check_parts(model: nn.Module) -> None:
    """Refuse an encoder or a decoder that is a name, or a function that was not called yet.

    Raises:
        ValueError: it is no module.
    """
    for field in ("encoder", "decoder"):
        part = getattr(model, field, None)
        if part is not None and not isinstance(part, nn.Module):
            raise ValueError(
                f"{type(model).__name__} takes a module as its {field}, but got {repr(part)[:60]}: make one, as "
                f"{field}s.named(NAME) does."
            )
