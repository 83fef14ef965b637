"""Functions to run beside workers; what they did is written to the file LEDGER."""

import os
import signal
from pathlib import Path


def note(word: str) -> None:
    """Append a word and the process id to the ledger."""
    with Path(os.environ["LEDGER"]).open("a") as ledger:
        ledger.write(f"{word} {os.getpid()}\n")


def stay() -> None:
    """Live as long as one is let."""
    note("stay")
    while True:
        signal.pause()


def die() -> None:
    """End at once."""
    note("die")
    os._exit(3)
