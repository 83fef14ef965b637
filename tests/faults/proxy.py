"""A TCP proxy before Redis that knows where a command and a reply end, and spoils one of them."""

import hashlib
import socket
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import suppress

from django_jobs.scripts import FOLDER, get_script

SCRIPTS = {get_script(path.stem).sha: path.stem for path in FOLDER.glob("[a-z]*.lua")}
LATE = 1.2  # seconds; longer than any client waits for a reply


class Cut(Exception):
    """The connection ends here."""


class Proxy:
    """Passes commands and replies on; `spoil` lets a fault happen to one command."""

    def __init__(self, port: int) -> None:
        self.port = port  # where Redis listens
        self.seen: Counter[str] = Counter()
        self._plans: dict[str, Plan] = {}
        self._links: set[Link] = set()
        self._door = socket.create_server(("127.0.0.1", 0))
        self.url = f"redis://127.0.0.1:{self._door.getsockname()[1]}/0"
        threading.Thread(target=self._accept, daemon=True).start()

    def spoil(self, command: str, fault: str, nth: int = 1) -> "Plan":
        """Let a fault happen to the nth such command from now on."""
        self._plans[command] = Plan(fault, nth)
        return self._plans[command]

    def plan(self, command: str) -> "Plan | None":
        """Count a command; return what is to happen to it."""
        self.seen[command] += 1
        plan = self._plans.get(command)
        if plan is None or not plan.turn():
            return None
        self._plans.pop(command, None)  # unless it was mended meanwhile
        return plan

    def mend(self) -> None:
        """Let no fault happen that has not happened yet."""
        self._plans.clear()

    def hang_up(self) -> None:
        """Close every connection."""
        for link in list(self._links):
            link.close()

    def close(self) -> None:
        """End."""
        self._door.close()
        self.hang_up()

    def forget(self, link: "Link") -> None:
        """Drop a connection that was closed."""
        self._links.discard(link)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._door.accept()
                try:
                    server = socket.create_connection(("127.0.0.1", self.port))
                except OSError:
                    client.close()
                    continue
                self._links.add(Link(self, client, server))


class Plan:
    """One fault; `struck` is set when it happened. A held request goes on at `go`."""

    def __init__(self, fault: str, nth: int) -> None:
        self.fault = fault
        self.struck, self.go = threading.Event(), threading.Event()
        self._left = nth

    def turn(self) -> bool:
        """Count down; say whether it is time."""
        self._left -= 1
        return self._left == 0

    def request(self, part: bytes, send: Callable[[bytes], None]) -> None:
        """Pass a request on, or not."""
        self.struck.set()
        if self.fault == "drop request":
            raise Cut
        if self.fault == "truncate request":
            send(part[: len(part) // 2])
            raise Cut
        if self.fault == "delay request":
            time.sleep(LATE)
        if self.fault == "hold request":
            self.go.wait(60)
        send(part)

    def reply(self, part: bytes, send: Callable[[bytes], None]) -> None:
        """Pass a reply on, or not."""
        if self.fault == "drop reply":
            raise Cut
        if self.fault == "truncate reply":
            send(part[: len(part) // 2])
            raise Cut
        if self.fault == "delay reply":
            time.sleep(LATE)
        send(part)


class Link:
    """One client's connection: a thread for each direction."""

    def __init__(self, proxy: Proxy, client: socket.socket, server: socket.socket) -> None:
        self._proxy, self._client, self._server = proxy, client, server
        self._waiting: deque[Plan | None] = deque()  # what is to happen to the replies to come
        for pump in (self._requests, self._replies):
            threading.Thread(target=self._pump, args=(pump,), daemon=True).start()

    def close(self) -> None:
        """Hang up on both sides."""
        self._proxy.forget(self)
        for side in (self._client, self._server):
            with suppress(OSError):
                side.shutdown(socket.SHUT_RDWR)
            side.close()

    def _pump(self, pump: Callable[[], None]) -> None:
        with suppress(OSError, Cut):
            pump()
        if pump == self._requests:
            self.close()
            return
        with suppress(OSError):  # what was received is still passed on
            self._client.shutdown(socket.SHUT_RDWR)

    def _requests(self) -> None:
        for part in _parts(self._client):
            plan = self._proxy.plan(_name(part))
            self._waiting.append(plan)
            if plan is None:
                self._server.sendall(part)
            else:
                plan.request(part, self._server.sendall)

    def _replies(self) -> None:
        parts = _parts(self._server)
        for part in parts:
            plan = self._waiting.popleft()
            if plan is None:
                self._client.sendall(part)
            elif plan.fault == "swallow reply":
                deque(parts, maxlen=0)  # TCP loses nothing between two replies: all the rest, too
            else:
                plan.reply(part, self._client.sendall)


def _parts(side: socket.socket) -> Iterator[bytes]:
    """Yield whole commands or replies (RESP2) as they come."""
    buffer = b""
    while received := side.recv(65536):
        buffer += received
        while end := _end(buffer, 0):
            yield buffer[:end]
            buffer = buffer[end:]


def _end(buffer: bytes, at: int) -> int:
    """Return where the value that begins here ends; 0 if the rest of it is to come."""
    line = buffer.find(b"\r\n", at) + 2
    if line < 2:
        return 0
    kind, size = buffer[at : at + 1], buffer[at + 1 : line - 2]
    if kind == b"$" and int(size) >= 0:
        end = line + int(size) + 2
        return end if end <= len(buffer) else 0
    if kind == b"*":
        for _ in range(int(size)):
            line = _end(buffer, line)
            if not line:
                return 0
    return line


def _name(part: bytes) -> str:
    """Return a command's name, or that of the script it calls."""
    words = part.split(b"\r\n")[2::2]
    verb = words[0].decode().upper()
    if verb == "EVALSHA":
        return SCRIPTS.get(words[1].decode(), verb)
    if verb == "EVAL":
        text = part.split(b"\r\n", 4)[4][: int(part.split(b"\r\n")[3][1:])]
        return SCRIPTS.get(hashlib.sha1(text).hexdigest(), verb)
    return verb
