"""A model behind HTTP: an image is posted, and what `segjax predict` would write of it is the answer."""

from segjax.errors import ServeError
from segjax.serve.app import make_app
from segjax.serve.limits import Limits
from segjax.serve.running import serve
from segjax.serve.served import Served

__all__ = ["Limits", "ServeError", "Served", "make_app", "serve"]
