"""Where a contestant runs: a Redis and ledgers of its own, its workers, its pusher."""

import contextlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.idle import pss
from benchmarks.ledger import Ledger
from benchmarks.peers.contestant import Contestant
from benchmarks.rig import ROOT, connect, private_redis

Tell = Callable[..., Any]  # a method of the pusher, its arguments; returns its answer

LENGTHS: dict[bytes, str] = {
    b"list": "llen",
    b"zset": "zcard",
    b"set": "scard",
    b"hash": "hlen",
    b"stream": "xlen",
}


class Stand:
    """One contestant with a private Redis."""

    def __init__(
        self, contestant: Contestant, python: Path, folder: Path, port: int, safe: bool
    ) -> None:
        self.contestant = contestant
        self.folder = folder
        self.redis = connect(port)
        self.begun, self.ended = self._ledger("begun"), self._ledger("ended")
        self.worker: subprocess.Popen[bytes] | None = None
        self.environment = {
            **{key: os.environ[key] for key in ("HOME", "LANG") if key in os.environ},
            "PATH": f"{python.parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "PYTHONWARNINGS": "ignore",
            "REDIS_URL": f"redis://127.0.0.1:{port}/0",
            "DJANGO_SETTINGS_MODULE": "benchmarks.peers.settings",
            "PEER_APPS": " ".join(contestant.apps),
            "PEER_DATABASE": str(folder / "database"),
            "PEER_BEGUN": str(folder / "begun"),
            "PEER_ENDED": str(folder / "ended"),
            "PEER_SAFE": "1" if safe else "",
        }
        self._python = python
        if contestant.apps:
            self._run("migrate", "--verbosity", "0")

    def _ledger(self, name: str) -> Ledger:
        path = self.folder / name
        path.touch()
        return Ledger(path)

    def _run(self, *words: str) -> None:
        command = [self._python, "-m", "django", *words]
        subprocess.run(command, cwd=ROOT, env=self.environment, check=True)

    # The worker.

    def start(self, command: str) -> None:
        """Start the worker, in a session of its own."""
        url, module = self.environment["REDIS_URL"], self.contestant.module
        words = shlex.split(command.format(module=module, url=url))
        program = shutil.which(words[0], path=self.environment["PATH"]) or words[0]
        with (self.folder / "log").open("ab") as log:
            self.worker = subprocess.Popen(
                [program, *words[1:]],
                cwd=ROOT,
                env=self.environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def processes(self) -> list[int]:
        """Return the worker's processes: all of its session, whoever their parent is."""
        found = []
        for path in Path("/proc").glob("[0-9]*/stat") if self.worker else ():
            with contextlib.suppress(OSError):
                state, _, _, session = path.read_text().rsplit(")", 1)[1].split()[:4]
                if self.worker and int(session) == self.worker.pid and state != "Z":
                    found.append(int(path.parent.name))
        return sorted(found)

    def signal(self, number: int) -> None:
        """Send a signal to each process of the worker, as systemd does."""
        for pid in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def stop(self, seconds: float = 10) -> bool:
        """End the worker; return whether it ended by itself in time."""
        if self.worker is None:
            return True
        self.signal(signal.SIGTERM)
        ended = self.until(lambda: not self.processes() or self.worker is None, seconds)
        self.signal(signal.SIGKILL)
        self.worker.wait(10)
        self.worker = None
        return ended

    def memory(self) -> tuple[float, float]:
        """Return the worker's memory in MB: summed up, and with what is shared counted once."""
        pids = self.processes()
        pages = sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in pids)
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20, pss(pids)

    def log(self) -> str:
        """Return the end of what the worker has said."""
        return (self.folder / "log").read_text(errors="replace")[-2000:]

    # The pusher.

    @contextmanager
    def pusher(self) -> Iterator[Tell]:
        """Yield what tells the pusher to do something, and returns its answer; None if it died."""
        process = subprocess.Popen(
            [self._python, "-m", "benchmarks.peers.pusher", self.contestant.module],
            cwd=ROOT,
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdin
        assert process.stdout

        def tell(*words: object) -> Any:
            print(json.dumps(words), file=process.stdin, flush=True)
            answer = process.stdout.readline() if process.stdout else ""
            return json.loads(answer) if answer else None

        with process:
            yield tell
            process.kill()

    # What ran.

    def clear(self) -> None:
        """Forget every job."""
        self.redis.flushall()
        self.begun.clear()
        self.ended.clear()

    def left(self, count: int) -> int:
        """Return how many of the first `count` jobs have not ended."""
        return self.ended.runs(count).count(0)

    def until(self, condition: Callable[[], object], seconds: float, pause: float = 0.01) -> bool:
        """Wait for a condition; return whether it came true in time."""
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                return False
            time.sleep(pause)
        return True

    def size(self, patterns: Sequence[str]) -> int:
        """Return how many elements are in the keys of these patterns."""
        keys = {key for pattern in patterns for key in self.redis.scan_iter(pattern, count=1000)}
        kinds = [(key, self.redis.type(key)) for key in keys]
        return sum(
            getattr(self.redis, LENGTHS[kind])(key) for key, kind in kinds if kind in LENGTHS
        )


@contextmanager
def stand(contestant: Contestant, python: Path, safe: bool = False) -> Iterator[Stand]:
    """Start a private Redis and all that belongs to it; stop all at the end."""
    folder = Path(tempfile.mkdtemp(prefix="peers-"))
    try:
        with private_redis(folder) as port:
            place = Stand(contestant, python, folder, port, safe)
            try:
                yield place
            finally:
                place.stop(seconds=2)
    finally:
        shutil.rmtree(folder)
