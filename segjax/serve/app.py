"""The routes of the server, and what becomes of a request from its first byte to its answer."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from segjax.cores import usable_cores
from segjax.errors import UserError
from segjax.page import page
from segjax.serve.answers import TYPES, Asked, answer, asked
from segjax.serve.batcher import Batcher
from segjax.serve.limits import Limits, Refusal
from segjax.serve.openapi import document
from segjax.serve.reading import image_bytes, read
from segjax.serve.served import Served
from segjax.strict_json import as_json

_GONE = 499
"""What servers note of a client that has not waited; nobody reads it."""


def make_app(served: Served, limits: Limits = Limits()) -> Starlette:
    """An ASGI application: `POST /predict`, `/health`, `/metadata`, `/openapi.json`, and a page at `/`."""
    batcher = Batcher(served.predict, limits.batch)
    workers = ThreadPoolExecutor(min(4, usable_cores()), "images")  # which decode and encode
    decoded = asyncio.Semaphore(2 * limits.batch)  # the others wait as they came, which takes less memory
    metadata = served.metadata(limits)
    fixed = {
        "/metadata": _json(metadata),
        "/openapi.json": _json(document(served, limits)),
        "/": HTMLResponse(page(metadata, "server")),
    }
    under_way = 0

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        running = asyncio.create_task(batcher.run())
        yield
        running.cancel()

    async def health(_: Request) -> Response:
        return _json({"status": "ok", "under_way": under_way})

    async def found(data: bytes, ask: Asked) -> Response:
        in_thread = partial(asyncio.get_running_loop().run_in_executor, workers)
        async with decoded:
            image = await in_thread(read, data, served.tells.bands, limits)
            result = await batcher.found(image)
            content = await in_thread(answer, result, ask, served.tells, image.pixels.shape[:2])
        return Response(content, media_type=TYPES[ask.output])

    async def predict(request: Request) -> Response:
        nonlocal under_way
        if under_way >= limits.queue:
            raise Refusal(
                503, f"{under_way} requests are under way, and more are not taken: come again in a second.", again=1
            )
        under_way += 1
        received = False
        try:
            query, accept = request.query_params, request.headers.get("accept", "*/*")
            ask = asked(query.get("output"), query.get("label"), accept, served.outputs, served.tells)
            async with asyncio.timeout(limits.seconds):
                data = await image_bytes(request.headers, request.stream(), limits)
                received = True
                return await _unless_gone(request, found(data, ask))
        except TimeoutError:
            if received:
                raise Refusal(504, f"No answer in {limits.seconds:g} seconds: send a smaller image.") from None
            raise Refusal(408, f"Not all of the image came in {limits.seconds:g} seconds: send it again.") from None
        finally:
            under_way -= 1

    routes = [Route(path, partial(_given, response)) for path, response in fixed.items()]
    routes += [Route("/health", health), Route("/predict", predict, methods=["POST"])]
    handlers: dict[Any, Any] = {Refusal: _refused, UserError: _unpredictable, HTTPException: _no_route}
    handlers |= {ClientDisconnect: _left, Exception: _failed}
    return Starlette(routes=routes, lifespan=lifespan, exception_handlers=handlers)


async def _given(response: Response, request: Request) -> Response:
    del request
    return response


async def _unless_gone(request: Request, work: Coroutine[Any, Any, Response]) -> Response:
    """What the work gives, which is given up where the client goes away before."""
    tasks = [asyncio.create_task(work), asyncio.create_task(_gone(request))]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        return tasks[0].result() if tasks[0] in done else Response(status_code=_GONE)
    finally:
        for task in tasks:
            task.cancel()


async def _gone(request: Request) -> Any:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _json(content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(as_json(content), status, headers, "application/json")


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, Refusal)
    return _json({"error": error.sentence}, error.status, {"Retry-After": str(error.again)} if error.again else None)


async def _unpredictable(_: Request, error: Exception) -> Response:
    return _json({"error": str(error)}, 422)


async def _no_route(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    sentence = f"{request.method} {request.url.path} is nothing here: POST an image to /predict; / is a page."
    return _json({"error": sentence}, error.status_code, error.headers)


async def _left(_: Request, error: Exception) -> Response:
    del error
    return Response(status_code=_GONE)


async def _failed(_: Request, error: Exception) -> Response:
    del error
    return _json({"error": "The server failed, and what went wrong stands where it was started."}, 500)
