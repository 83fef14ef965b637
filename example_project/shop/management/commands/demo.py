"""`manage.py demo`: see the shop work while one of its workers is killed."""

import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connection, transaction
from django.test import override_settings

from django_jobs import get_queue
from shop.models import Order, Receipt

Process = subprocess.Popen[bytes]

RUNJOBS = ("runjobs", "--processes", "2", "--concurrency", "4")
PRODUCTS = ("Tea", "Coffee", "Cocoa", "Honey", "Salt")
TICK = 0.03  # seconds between two orders
TRICKLE = 2.0  # the same with --serve
PATIENCE = 60.0  # seconds, for the last receipt after the last order
STOPS_WITHIN = 35.0  # seconds, more than the shutdown timeout of runjobs
BAR = 40  # characters


class Command(BaseCommand):
    """Place orders, kill a worker, and count: every order must have its receipt."""

    help = "Place orders while workers run and one of them is killed; then count the receipts."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument("--orders", type=int, default=60, help="how many orders to place")
        parser.add_argument(
            "--serve", action="store_true", help="keep site, admin and workers running"
        )
        parser.add_argument("--port", type=int, default=8000, help="the site's, with --serve")

    def handle(self, *args: Any, **options: Any) -> None:
        """Run the demo, or with --serve the site, until it is done or interrupted."""
        # What these signals end must stop its subprocesses first, as Ctrl-C does.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        signal.signal(signal.SIGHUP, signal.default_int_handler)
        try:
            if options["serve"]:
                self.serve(options["port"])
            else:
                self.demo(options["orders"])
        except KeyboardInterrupt:
            self.stdout.write("\nStopped.")

    def demo(self, count: int) -> None:
        """Let the workers serve `count` orders and lose one of them on the way."""
        if count < 1:
            raise CommandError("--orders needs at least 1.")
        with fresh_shop() as folder:
            call_command("migrate", verbosity=0)
            log = folder / "runjobs.log"
            with log.open("wb") as output, running(*RUNJOBS, output=output) as supervisor:
                self.place_and_watch(count, supervisor, log)
            self.report(log)

    def place_and_watch(self, count: int, supervisor: Process, log: Path) -> None:
        """Place the orders; kill a worker at a third of the receipts; wait for the rest."""
        placed, receipts, victim = 0, 0, 0
        deadline = time.monotonic() + count * TICK + PATIENCE
        while time.monotonic() < deadline:
            if supervisor.poll() is not None:
                raise CommandError(f"runjobs ended by itself:\n{tail(log)}")
            if placed < count:
                place_order(placed)
                placed += 1
            receipts = Receipt.objects.count()
            if self.stdout.isatty():
                self.stdout.write(bar(receipts, count, victim), ending="\r")
                self.stdout.flush()
            if not victim and receipts > count // 3:
                victim = kill_worker(supervisor)
            if receipts == count and supplied() + failed() >= count:
                break
            time.sleep(TICK)
        self.stdout.write(bar(receipts, count, victim))

    def report(self, log: Path) -> None:
        """Print the table. Raises CommandError, which is exit status 1, for a lost order."""
        placed, receipts = Order.objects.count(), Receipt.objects.count()
        rows = {
            "placed": placed,
            "receipts": receipts,
            "retried": Order.objects.filter(supply_attempts__gt=1).count(),
            "failed": failed(),
            "lost": placed - receipts,
        }
        for name, number in rows.items():
            self.stdout.write(f"  {name:<10}{number:>6}")
        if rows["lost"]:
            raise CommandError(f"{rows['lost']} orders have no receipt.\n{tail(log)}")

    def serve(self, port: int) -> None:
        """Run site and workers on db.sqlite3, with a new order now and then, until Ctrl-C."""
        call_command("migrate", verbosity=0)
        users = get_user_model().objects
        if not users.filter(username="admin").exists():
            users.create_superuser("admin", "admin@example.com", "admin")
        address = f"127.0.0.1:{port}"
        with running(*RUNJOBS) as jobs, running("runserver", address, "--noreload") as site:
            self.stdout.write(f"Shop   http://{address}/")
            self.stdout.write(f"Admin  http://{address}/admin/  (user admin, password admin)")
            self.stdout.write("Ctrl-C stops everything.")
            number = 0
            while jobs.poll() is None and site.poll() is None:
                place_order(number)
                number += 1
                time.sleep(TRICKLE)
            raise CommandError("runjobs or runserver ended by itself, see above.")


@contextmanager
def fresh_shop() -> Iterator[Path]:
    """Use an empty database and an empty part of Redis, here and in subprocesses."""
    prefix = f"demo-{secrets.token_hex(4)}"
    folder = Path(tempfile.mkdtemp(prefix="shop-"))
    database = str(folder / "db.sqlite3")
    os.environ.update(SHOP_DATABASE=database, SHOP_PREFIX=prefix)
    connection.close()
    connection.settings_dict["NAME"] = database
    try:
        with override_settings(JOBS={**settings.JOBS, "PREFIX": prefix}):
            yield folder
            client = get_queue().client
            for key in client.scan_iter(match=f"{prefix}:*"):
                client.delete(key)
    finally:
        connection.close()
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def running(*arguments: str, output: Any = None) -> Iterator[Process]:
    """Run a management command next to this one; stop it at the end."""
    process = subprocess.Popen(
        [sys.executable, str(settings.BASE_DIR / "manage.py"), *arguments],
        stdout=output,
        stderr=output,
        start_new_session=True,  # Ctrl-C reaches the demo alone, which then stops the others
    )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(STOPS_WITHIN)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def place_order(number: int) -> None:
    """Place an order as the view does: the signal pushes its job when this commits."""
    with transaction.atomic():
        Order.objects.create(
            product=PRODUCTS[number % len(PRODUCTS)],
            quantity=1 + number % 4,
            email=f"customer{number}@example.com",
        )


def bar(receipts: int, count: int, victim: int) -> str:
    """Return the progress bar; `victim` is the killed worker's process id, if there is one."""
    done = "#" * (BAR * receipts // count)
    note = f", worker {victim} was killed" if victim else ""
    return f"[{done:-<{BAR}}] {receipts} of {count} receipts{note}"


def supplied() -> int:
    """Return how many orders have got their supplies."""
    return Order.objects.filter(supply_attempts__gt=0).count()


def failed() -> int:
    """Return how many jobs used up their attempts."""
    return sum(get_queue(name).stats().failed for name in settings.JOBS["QUEUES"])


def kill_worker(supervisor: Process) -> int:
    """Kill one child of runjobs, as the kernel does when memory is short; 0 if there is none."""
    children = children_of(supervisor.pid)
    if not children:
        return 0
    # The last: on macOS the first is a helper of Python's multiprocessing.
    os.kill(children[-1], signal.SIGKILL)
    return children[-1]


def children_of(pid: int) -> list[int]:
    """Return the child processes, oldest first."""
    listing = Path(f"/proc/{pid}/task/{pid}/children")
    if listing.exists():
        return [int(child) for child in listing.read_text().split()]
    found = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=False)
    return sorted(int(child) for child in found.stdout.split())


def tail(log: Path) -> str:
    """Return the end of a log."""
    return log.read_text(errors="replace")[-2000:]
