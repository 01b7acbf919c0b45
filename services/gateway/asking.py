"""The calls that one request to the gateway makes of its own."""

from typing import Any

from starlette.requests import Request

from lwmecps_core.errors import NotFound
from protos.lwmecps.registry.v1 import registry_pb2, run_pb2
from services.gateway.upstream import CALLS, Upstreams, metadata_of

MOST_PAGES = 100
"""Pages of 1,000 that are read of a run's metrics or rows."""


class Asking:
    """The calls that one request makes, with its token."""

    def __init__(self, request: Request) -> None:
        self._upstreams: Upstreams = request.app.state.upstreams
        self._metadata = metadata_of(request)

    async def __call__(self, name: str, message: Any = None, /, **fields: Any) -> Any:
        """The answer of a call, asked with a message or with its fields."""
        asked = CALLS[name].request_class(**fields) if message is None else message
        return await self._upstreams.ask(name, asked, self._metadata)

    async def run(self, run_id: str, kind: str) -> run_pb2.Run:
        """A run of this kind; raises `NotFound` for one of another."""
        run: run_pb2.Run = (await self("GetRun", run_id=run_id)).run
        if run.spec.WhichOneof("settings") != kind:
            raise NotFound(f"{kind.replace('_', '-')} task", run_id)
        return run

    async def metrics(self, run_id: str) -> list[run_pb2.MetricPoint]:
        """What a run has measured, oldest first."""
        return await self.pages("ListRunMetrics", "metrics", run_id=run_id)

    async def pages(self, name: str, field: str, **fields: Any) -> list[Any]:
        """The entries of a paged list, at most `MOST_PAGES` pages of them."""
        found: list[Any] = []
        token = ""
        for _ in range(MOST_PAGES):
            page = await self(name, page_size=1000, page_token=token, **fields)
            found.extend(getattr(page, field))
            token = page.next_page_token
            if not token:
                break
        return found

    async def parts(self, message: Any) -> list[Any]:
        """All messages that a stream answers a request with."""
        name = message.DESCRIPTOR.name.removesuffix("Request")
        return [part async for part in self._upstreams.call(CALLS[name], [message], self._metadata)]

    async def ended(self, run_id: str) -> run_pb2.Run:
        """A run once it has ended."""
        call = self._upstreams.call(CALLS["WatchRun"], [registry_pb2.WatchRunRequest(run_id=run_id)], self._metadata)
        run = run_pb2.Run()
        try:
            async for news in call:
                run = news.run
        finally:
            call.cancel()
        return run
