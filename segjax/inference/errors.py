"""What goes wrong in inference, as one sentence."""


class InferenceError(ValueError):
    """An argument that inference cannot work with, or a result that cannot be written: what it was and what to do."""
