"""Scenes of drawn faces on photographs, composed from a seed."""

from typing import ClassVar, NamedTuple, cast

import cv2
import numpy as np
from jaxtyping import Float32, Int, UInt8

from segjax.data.record import Record, Split
from segjax.data.sets.faces import EMOTIONS
from segjax.data.sets.faces.drawings import THINGS, Drawing, read_table, recolored, sized
from segjax.data.sets.trees import trees

SCENE = 192
COUNTS: dict[Split, int] = {"train": 3000, "val": 100, "test": 200}
DRAWN = (6, 18)
"""How many drawings are tried in a scene, at least and at most."""
SHARE_OF_FACES = 0.7
SIDES = (24, 72)
"""Of the longer side of a drawing before it is turned, in pixels."""
TURN = 25
"""Degrees, at most."""
LEAST_SEEN = 0.75
"""Of every drawing; what is inside the scene and not covered."""

NOBODY = -1
Owners = Int[np.ndarray, "h w"]
"""For each pixel the number of the drawing that is seen there, or `NOBODY`."""


class Layer(NamedTuple):
    """A drawing in its place."""

    pixels: Float32[np.ndarray, "h w 4"]
    """Of the scene; colours in 0..255 multiplied by their opacity, and the opacity in 0..1."""
    whole: float
    """Pixels of it that there are, inside the scene or not."""
    scores: tuple[float, ...] | None
    """Of a face; nothing else has any."""


class Scenes:
    """The scenes of a split; the same number is always the same scene."""

    worth_keeping: ClassVar[bool] = True

    def __init__(self, split: str) -> None:
        self._split: Split = cast(Split, split)
        source = trees().open(split)
        self._photos = [source[i]["image"] for i in range(len(source))]
        self._faces = tuple(one for one in read_table() if one.split == split)

    def __len__(self) -> int:
        return COUNTS[self._split]

    def __getitem__(self, index: int) -> Record:
        if not 0 <= index < len(self):
            raise IndexError(index)
        rng = np.random.default_rng((list(COUNTS).index(self._split), index))
        image = background(self._photos[rng.integers(len(self._photos))], rng)
        layers, owners = arranged(self._faces, THINGS[self._split], rng)
        return finished(image, layers, owners, rng)


def background(photo: UInt8[np.ndarray, "h w 3"], rng: np.random.Generator) -> Float32[np.ndarray, "side side 3"]:
    """A part of a photo of forest, turned and in another light."""
    side = int(rng.integers(SCENE // 2, min(photo.shape[:2]), endpoint=True))
    top, left = (int(rng.integers(length - side + 1)) for length in photo.shape[:2])
    part = np.rot90(photo[top : top + side, left : left + side], int(rng.integers(4)))
    part = cv2.resize(part, (SCENE, SCENE), interpolation=cv2.INTER_AREA if side > SCENE else cv2.INTER_LINEAR)
    return part * rng.uniform(0.6, 1.4, 3).astype(np.float32)


def arranged(faces: tuple[Drawing, ...], things: str, rng: np.random.Generator) -> tuple[list[Layer], Owners]:
    """Drawings from the lowest to the uppermost, of each of which enough is seen, and where that is."""
    scores = np.array([face.scores for face in faces])
    layers: list[Layer] = []
    owners = np.full((SCENE, SCENE), NOBODY)
    for _ in range(rng.integers(*DRAWN, endpoint=True)):
        if rng.random() < SHARE_OF_FACES:
            of_emotion = scores[:, rng.integers(len(EMOTIONS))]
            face = faces[rng.choice(len(faces), p=of_emotion / of_emotion.sum())]
            layer = placed(face.drawing, face.scores, rng)
        else:
            layer = placed(things[rng.integers(len(things))], None, rng)
        with_it = np.where(layer.pixels[..., 3] > 0.5, len(layers), owners)
        seen = np.bincount(with_it.ravel() - NOBODY, minlength=len(layers) + 2)[1:]
        if all(seen >= [LEAST_SEEN * one.whole for one in (*layers, layer)]):
            layers.append(layer)
            owners = with_it
    return layers, owners


def placed(drawing: str, scores: tuple[float, ...] | None, rng: np.random.Generator) -> Layer:
    """A drawing somewhere in the scene, turned, mirrored and in other colours."""
    side = np.exp(rng.uniform(*np.log(SIDES)))
    pixels = sized(drawing, side)
    hue = rng.integers(180) if rng.random() < 0.2 else rng.integers(-8, 9)
    pixels = recolored(pixels, int(hue), rng.uniform(0.6, 1.2))
    scale, turn = side / max(pixels.shape), np.radians(rng.uniform(-TURN, TURN))
    mirror = np.diag([rng.choice((-1, 1)), 1])
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    linear = scale * rotation @ mirror
    height, width = pixels.shape[:2]
    to_scene = np.column_stack([linear, rng.uniform(0, SCENE, 2) - linear @ (width / 2, height / 2)])
    warped = cv2.warpAffine(pixels, to_scene, (SCENE, SCENE), flags=cv2.INTER_LINEAR)
    return Layer(warped, float((pixels[..., 3] > 0.5).sum() * scale**2), scores)


def finished(
    image: Float32[np.ndarray, "h w 3"], layers: list[Layer], owners: Owners, rng: np.random.Generator
) -> Record:
    """The scene as a photograph of it would be, with a box around what is seen of each face."""
    for layer in layers:
        x, y, width, height = cv2.boundingRect((layer.pixels[..., 3] > 0).astype(np.uint8))
        there = np.s_[y : y + height, x : x + width]
        image[there] = image[there] * (1 - layer.pixels[there][..., 3:]) + layer.pixels[there][..., :3]
    image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.2, 1.0))
    noise = rng.uniform(0, 8) * rng.standard_normal(image.shape, np.float32)
    image = image * rng.uniform(0.7, 1.2) + noise
    of_faces = [number for number, layer in enumerate(layers) if layer.scores is not None]
    boxes = [cv2.boundingRect((owners == number).astype(np.uint8)) for number in of_faces]
    return Record(
        image=image.clip(0, 255).astype(np.uint8),
        boxes=np.array(boxes, np.float32).reshape(-1, 4),
        labels=np.zeros(len(boxes), np.int32),
        attributes=np.array([layers[number].scores for number in of_faces], np.float32).reshape(-1, len(EMOTIONS)),
    )
