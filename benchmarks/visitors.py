"""Many visitors at once on one server, against a single one: how long a page turn takes, and what is mixed up.

`python -m benchmarks.visitors`: 30 scripted sessions on two cores for ten minutes, each in its own workspace with an
image set and models that carry its name: Suggestion, Compare, Reason, over and over, some seconds on each page, while
a few of them compute new maps all the time. A session speaks Streamlit's protocol over a websocket as browsers do: it
runs pages, presses buttons, polls what polls, and fetches what pages show. A turn is timed from the request to the end
of the page's run; drawing in the browser is not in it. What counts as an error: an exception or an error on a page, or
an answer that does not come; as a mix-up: any byte of an answer that carries another visitor's name.

The last line is one JSON object with `p95_ratio` (to the single session), `errors`, `mixups`, `memory_growth` (of the
server, from the second minute to the last), the seconds behind them, and what the server took before they came and
takes after they left (each time when a single visitor has just left).
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import re
import statistics
import tempfile
import time
import urllib.request
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import psutil
import websockets
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.proto.WidgetStates_pb2 import WidgetState
from websockets.typing import Origin, Subprotocol

from benchmarks.browser import serve
from images.intake import DEMO, from_files
from models.loaders import demo
from models.store import ModelStore
from pages.shared.workspace import Workspace

PAGES = ("suggestion", "compare", "reason")

#: Seconds that a visitor looks at a page, and that an answer may take.
LOOK_S, PATIENCE_S = 5.0, 120.0

#: The server does not answer to a fragment that is gone.
_GONE_S = 20.0

#: Streamlit keeps the session of a browser that left for two minutes, and lets it go when the next one leaves.
_KEPT_S = 130.0

N_IMAGES = 24

_NAME = re.compile(rb"visitor-\d{3}")
_CONTENT = re.compile(rb"content/[0-9a-f]{32}/[0-9a-f]{64}\.\w+")


@dataclass
class Visitor:
    """One session: what it has seen, and how long its turns took."""

    address: str
    name: str
    key: str
    models: list[str]
    images: str
    computes: bool = False
    turns: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    mixups: list[str] = field(default_factory=list)
    fetched: set[str] = field(default_factory=set)
    pages: dict[str, str] = field(default_factory=dict)
    widgets: dict[str, str] = field(default_factory=dict)
    polls: dict[str, float] = field(default_factory=dict)
    hashes: list[str] = field(default_factory=list)
    query: str = ""

    async def live(self, until: float) -> None:
        """Turn pages until the clock says `until`."""
        self.query = f"workspace={self.key}&models={','.join(self.models)}&images={self.images}"
        async with self._connected() as socket:
            await self._run(socket, "", timed=False)
            await self._turn_pages(socket, until)

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[websockets.ClientConnection]:
        await asyncio.to_thread(self._open, f"{self.address}/?{self.query}")
        there = self.address.replace("http", "ws") + "/_stcore/stream"
        async with websockets.connect(
            there, subprotocols=[Subprotocol("streamlit")], max_size=None, origin=Origin(self.address)
        ) as socket:
            yield socket

    async def _turn_pages(self, socket: websockets.ClientConnection, until: float) -> None:
        number = 0
        while time.monotonic() < until:
            page = PAGES[number % len(PAGES)]
            await self._run(socket, page)
            if page == "compare" and "compare_six" in self.widgets:
                await self._run(socket, page, press="compare_six")
            elif page == "compare":
                await self._run(socket, page, press="compare_on")
                if self.computes:
                    await self._run(socket, page, methods=["occlusion", "rise", "smoothgrad"])
            await self._look(socket, page, min(LOOK_S, max(0.0, until - time.monotonic())))
            number += 1

    async def _look(self, socket: websockets.ClientConnection, page: str, seconds: float) -> None:
        """What a browser does meanwhile: run each fragment that asks to be run again and again."""
        end, due = time.monotonic() + seconds, {fragment: time.monotonic() for fragment in self.polls}
        while (now := time.monotonic()) < end:
            for fragment, every in list(self.polls.items()):
                if fragment in self.polls and now >= due.setdefault(fragment, now) + every:
                    await self._run(socket, page, fragment=fragment, timed=False)
                    due[fragment] = time.monotonic()
            await asyncio.sleep(0.1)

    async def _run(
        self,
        socket: websockets.ClientConnection,
        page: str,
        press: str = "",
        methods: list[str] | None = None,
        fragment: str = "",
        timed: bool = True,
    ) -> None:
        """Run a page, or a fragment of it, and take in all that comes; the time counts as a turn if it is `timed`."""
        message = BackMsg()
        state = message.rerun_script
        state.query_string, state.page_script_hash = self.query, self.pages.get(page, "")
        state.fragment_id, state.is_auto_rerun = fragment, bool(fragment)
        state.cached_message_hashes.extend(self.hashes[-500:])
        if press and press in self.widgets:
            state.widget_states.widgets.append(WidgetState(id=self.widgets[press], trigger_value=True))
        if methods is not None and "compare_methods" in self.widgets:
            chosen = WidgetState(id=self.widgets["compare_methods"])
            chosen.string_array_value.data.extend(methods)
            state.widget_states.widgets.append(chosen)
        started = time.monotonic()
        await socket.send(message.SerializeToString())
        try:
            async with asyncio.timeout(_GONE_S if fragment else PATIENCE_S):
                while not self._take(await socket.recv(), page):
                    pass
        except TimeoutError:
            if not fragment:
                self.errors.append(f"{page}: no answer in {PATIENCE_S:.0f} s")
            self.polls.pop(fragment, None)
        if timed:
            self.turns.append(time.monotonic() - started)

    def _take(self, answer: str | bytes, page: str) -> bool:
        """Take in a message; whether it is the end of a run."""
        raw = answer.encode() if isinstance(answer, str) else answer
        self._check(raw, page)
        message = ForwardMsg.FromString(raw)
        kind = message.WhichOneof("type")
        if message.hash and message.metadata.cacheable:
            self.hashes.append(message.hash)
        if kind == "new_session" and not message.metadata.run.fragment_ids:
            self.polls, self.widgets = {}, {}  # a whole run, be it that a fragment asked for it
        elif kind == "navigation":
            self.pages = {one.url_pathname or "upload": one.page_script_hash for one in message.navigation.app_pages}
        elif kind == "page_info_changed":
            self.query = message.page_info_changed.query_string
        elif kind == "auto_rerun":
            self.polls[message.auto_rerun.fragment_id] = message.auto_rerun.interval
        elif kind == "stop_auto_rerun":
            self.polls.pop(message.stop_auto_rerun.fragment_id, None)
        elif kind == "delta":
            element = message.delta.new_element
            what = element.WhichOneof("type")
            if what == "exception":
                self.errors.append(f"{page}: {element.exception.message[:200]}")
            elif what == "alert" and element.alert.format == element.alert.ERROR:
                self.errors.append(f"{page}: {element.alert.body[:200]}")
            elif what in ("button", "multiselect"):
                widget = getattr(element, what).id
                self.widgets[widget.rpartition("-")[2]] = widget
        return kind == "script_finished"

    def _check(self, raw: bytes, page: str) -> None:
        own = self.name.encode()
        if others := {found for found in _NAME.findall(raw) if found != own}:
            self.mixups.append(f"{page}: {sorted(others)}")
        for address in {found.decode() for found in _CONTENT.findall(raw)} - self.fetched:
            self.fetched.add(address)
            asyncio.get_running_loop().run_in_executor(None, self._fetch, address, page)

    def _fetch(self, address: str, page: str) -> None:
        try:
            content = self._open(f"{self.address}/{address}")
        except OSError as error:
            self.errors.append(f"{page}: {address}: {error}")
            return
        if any(found != self.name.encode() for found in _NAME.findall(content)):
            self.mixups.append(f"{page}: {address}")

    def _open(self, url: str) -> bytes:
        there = Workspace(self.key)
        request = urllib.request.Request(url, headers={"Cookie": f"parallax_workspace_{there.id}={self.key}"})
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
            return answer.read()


@dataclass(frozen=True)
class Load:
    """What the server takes at a moment."""

    seconds: float
    rss_bytes: int
    n_threads: int
    n_files: int

    @classmethod
    def now(cls, server: psutil.Process, since: float) -> Load:
        """Of the server's process."""
        return cls(time.monotonic() - since, server.memory_info().rss, server.num_threads(), server.num_fds())


def furnish(data: Path, number: int, computes: bool, address: str) -> Visitor:
    """A workspace with a model and an image set of a visitor's own name; equal content, as in a class."""
    name, key = f"visitor-{number:03d}", f"visitor{number:03d}".ljust(32, "x")
    folder = data / "workspaces" / Workspace(key).id
    files = sorted(DEMO.glob("*/*.jpg"))[:: 360 // N_IMAGES]
    images = from_files([(f"{name} {path.name}", io.BytesIO(path.read_bytes())) for path in files], folder)
    model_store = ModelStore(folder, "cpu")
    models = [replace(demo.PAINTINGS.load(model), name=f"{name} {model}") for model in ("vgg", "resnet", "vit")]
    cards = [model_store.add(model) for model in models]
    return Visitor(address, name, key, [card.digest for card in cards], images.digest, computes)


async def watch(server: psutil.Process, loads: list[Load], since: float) -> None:
    """Take down every five seconds what the server takes."""
    while True:
        loads.append(Load.now(server, since))
        await asyncio.sleep(5)


async def together(visitors: list[Visitor], seconds: float, server: psutil.Process) -> list[Load]:
    """Let them live at once."""
    loads: list[Load] = []
    since = time.monotonic()
    watching = asyncio.create_task(watch(server, loads, since))
    results = await asyncio.gather(*(one.live(since + seconds) for one in visitors), return_exceptions=True)
    watching.cancel()
    for visitor, result in zip(visitors, results, strict=True):
        if isinstance(result, BaseException):
            visitor.errors.append(f"{type(result).__name__}: {result}")
    return loads


def quantile(turns: list[float], share: float) -> float:
    """So many of the turns took no longer."""
    return sorted(turns)[min(len(turns) - 1, int(share * len(turns)))] if turns else float("nan")


def between(loads: list[Load], start: float, end: float, fact: Callable[[Load], float]) -> float:
    """The median of a fact from `start` to `end` seconds."""
    return statistics.median([fact(load) for load in loads if start <= load.seconds <= end] or [float("nan")])


def main() -> None:
    """One visitor first, then all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--visitors", type=int, default=30)
    parser.add_argument("--computing", type=int, default=2, help="how many of them compute new maps all the time")
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--alone-seconds", type=float, default=90)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary, serve(Path(temporary)) as address:
        data, (server, *_) = Path(temporary), psutil.Process().children()
        alone = furnish(data, 0, False, address)
        asyncio.run(together([alone], chosen.alone_seconds, server))
        time.sleep(5)
        before = Load.now(server, 0)
        visitors = [furnish(data, 1 + n, n < chosen.computing, address) for n in range(chosen.visitors)]
        loads = asyncio.run(together(visitors, chosen.seconds, server))
        time.sleep(_KEPT_S)
        asyncio.run(together([replace(alone, turns=[])], chosen.alone_seconds, server))
        time.sleep(5)
        after = Load.now(server, 0)
    everyone = [alone, *visitors]
    for visitor in everyone:
        for line in dict.fromkeys([*visitor.errors, *visitor.mixups]):
            print(f"{visitor.name}: {line}")
    turns, single = [turn for one in visitors for turn in one.turns], alone.turns[3:]
    early, late = min(120, chosen.seconds / 4), chosen.seconds - 60
    start, end = (between(loads, at, at + 60, lambda load: load.rss_bytes) for at in (early, late))
    figures = {
        "p95_ratio": round(quantile(turns, 0.95) / quantile(single, 0.95), 2),
        "errors": sum(len(one.errors) for one in everyone),
        "mixups": sum(len(one.mixups) for one in everyone),
        "memory_growth": round(end / start - 1, 3),
        "p50_s": round(quantile(turns, 0.5), 2),
        "p95_s": round(quantile(turns, 0.95), 2),
        "alone_p50_s": round(quantile(single, 0.5), 2),
        "alone_p95_s": round(quantile(single, 0.95), 2),
        "turns": len(turns),
        "fetched": sum(len(one.fetched) for one in everyone),
        "rss_before_mb": before.rss_bytes // 2**20,
        "rss_after_mb": after.rss_bytes // 2**20,
        "threads_before_after": [before.n_threads, after.n_threads],
        "files_before_after": [before.n_files, after.n_files],
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
