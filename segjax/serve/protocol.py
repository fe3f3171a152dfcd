"""HTTP of clients who never finish: uvicorn bounds the time between two requests, and none for the head of one."""

import asyncio

from uvicorn.protocols.http.h11_impl import H11Protocol


def bounded(seconds: float) -> type[asyncio.Protocol]:
    """uvicorn's protocol, which closes a connection that is not in the middle of a request for longer than that.

    Who reads nothing of an answer for as long is cut off: answers wait in memory until they are read.
    """

    class Bounded(H11Protocol):
        _closing: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self._close_in_time()

        def on_response_complete(self) -> None:
            super().on_response_complete()
            self._close_in_time()

        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            if self._closing is not None:
                self._closing.cancel()

        def _close_in_time(self, unread: int = 0) -> None:
            if self._closing is not None:
                self._closing.cancel()
            self._closing = self.loop.call_later(seconds, self._close, unread)

        def _close(self, before: int) -> None:
            unread = self.transport.get_write_buffer_size()
            if unread >= before > 0:
                self.transport.abort()
                return
            if self.cycle is None or self.cycle.response_complete:  # otherwise make_app bounds it
                self.transport.close()  # when all is read
            self._close_in_time(unread)

    return Bounded
