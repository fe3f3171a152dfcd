"""What a person can mend: exceptions whose message is one sentence that names what is wrong and says what to do."""


class UserError(Exception):
    """The base of them; the command line prints the sentence, and no traceback."""


class DataError(UserError):
    """Data or weights that cannot be had or read."""


class ExperimentError(UserError):
    """An experiment or a run that cannot be used as it is."""


class InferenceError(UserError):
    """A prediction that cannot be made or written."""
