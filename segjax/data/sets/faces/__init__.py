"""Drawn faces with a score per emotion: OpenMoji's smileys over aerial photographs, a box around each."""

from segjax.data.augment import Augment
from segjax.data.dataset import Dataset
from segjax.data.record import Source, refuse_unknown_split

EMOTIONS = ("anger", "contempt", "disgust", "fear", "happiness", "neutral", "sadness", "surprise")


def faces() -> Dataset:
    """Drawn faces, not photographs of faces: 118 drawings of OpenMoji, composed into scenes of 192 x 192 pixels.

    A scene has up to 18 drawings on a photo of a forest: faces of 24 to 72 pixels, each with a box around what is seen
    of it and eight scores that sum to 1, and in between fruit, balls and signs, which have no box. They are turned,
    mirrored, in other colours, cover each other in part, and the whole is blurred and noisy. Scenes are composed when
    they are read, from their number alone: 3000 to train, 100 to validate and 200 to test.

    No drawing is in two splits: 77 train, 14 validate and 27 test, and those that differ in a hat, a tear or a colour
    alone are in the same one, as are the things and the photos. Which drawing is which, and its scores, says
    `segjax/data/sets/faces/drawings.csv`: one reading of each drawing, and nobody was asked for another. In a scene an
    emotion is drawn first, and then a drawing by its score of it, so that all eight come about equally often.

    The first `open` fetches two wheels (31 and 21 MB), which stay in `data_dir()`. All emojis designed by OpenMoji, the
    open-source emoji and icon project, CC BY-SA 4.0, which holds for the scenes too; the photos are those of `trees`.
    """

    def open_split(split: str) -> Source:
        refuse_unknown_split("faces", split)
        from segjax.data.sets.faces.scenes import Scenes  # with its drawings only where it is opened

        return Scenes(split)

    return Dataset(
        "faces",
        ("face",),
        ((0, 200, 255),),
        open_split,
        attribute_names=EMOTIONS,
        augment=Augment(crop=(128, 128), flip_horizontal=True),
    )
