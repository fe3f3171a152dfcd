"""What a person did that cannot be done."""


class ExperimentError(Exception):
    """What is wrong with an experiment file, a knob or a run folder, in one sentence for the person who typed it."""
