"""The page on which people try a model: an image in, what is found laid over it.

One page for two engines: ONNX Runtime in the browser (`onnx.js`), or the server that the page comes from (`server.js`).
"""

from collections.abc import Mapping
from typing import Any, Literal

import jinja2

Engine = Literal["onnx", "server"]


def page(metadata: Mapping[str, Any], engine: Engine) -> str:
    """The page as HTML that needs nothing from elsewhere.

    Args:
        metadata: What is said of the model: `name`, `licence`, `trained_on`, `score`, and `pixels`, `objects` and
            `fitted` as `segjax.inference.Tells.described` has them; for ONNX also `seen`, height and width that the
            file takes.
        engine: What predicts.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("segjax.page"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    return environment.get_template("page.html").render(about=metadata, engine=engine)
