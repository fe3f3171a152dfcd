"""Images of requests that wait at the same time, brought through the model in one pass."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from segjax.data.formats.rasters import Raster
from segjax.inference import Found
from segjax.inference.tiling import WHOLE

Predict = Callable[[Sequence[Raster]], list[Found]]


class _Waiting(NamedTuple):
    image: Raster
    found: asyncio.Future[Found]


class Batcher:
    """Takes what waits whenever the model is free: no request waits for others to come.

    Batches have up to `most` images, and together no more pixels than one image that is seen whole. Where a batch
    fails its images are predicted each by itself, so that only those fail that have to. The model runs in one thread.
    """

    def __init__(self, predict: Predict, most: int) -> None:
        self._predict, self._most = predict, most
        self._waiting: deque[_Waiting] = deque()
        self._some = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, "model")

    async def found(self, image: Raster) -> Found:
        """What the model finds; who is cancelled while waiting leaves the queue.

        Raises:
            InferenceError: the image cannot be predicted.
        """
        one = _Waiting(image, asyncio.get_running_loop().create_future())
        self._waiting.append(one)
        self._some.set()
        return await one.found

    async def run(self) -> None:
        """Predict until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await self._some.wait()
            batch = self._next()
            if not batch:
                self._some.clear()
                continue
            results = await loop.run_in_executor(self._thread, self._results, [one.image for one in batch])
            for one, result in zip(batch, results, strict=True):
                if one.found.done():  # who asked has gone
                    continue
                if isinstance(result, Exception):
                    one.found.set_exception(result)
                else:
                    one.found.set_result(result)

    def _next(self) -> list[_Waiting]:
        batch: list[_Waiting] = []
        pixels = 0
        while self._waiting and len(batch) < self._most:
            height, width = self._waiting[0].image.pixels.shape[:2]
            if batch and pixels + height * width > WHOLE:
                break
            one = self._waiting.popleft()
            if not one.found.done():
                batch.append(one)
                pixels += height * width
        return batch

    def _results(self, images: list[Raster]) -> Sequence[Found | Exception]:
        try:
            return self._predict(images)
        except Exception as error:
            if len(images) == 1:
                return [error]
            return [self._results([image])[0] for image in images]
