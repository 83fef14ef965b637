"""`manage.py demo`: see the shop work while one of its workers is killed."""

import os
import secrets
import shutil
import signal
import socket
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
from redis.exceptions import RedisError

from django_jobs import get_queue
from django_jobs.checks import check_redis
from django_jobs.runner import plain_errors
from shop.models import Order, Receipt

Process = subprocess.Popen[bytes]

RUNJOBS = ("runjobs", "--processes", "2", "--concurrency", "4", "--shutdown-timeout", "5")
STOPS_WITHIN = 10.0  # seconds, more than this shutdown timeout
PRODUCTS = ("Tea", "Coffee", "Cocoa", "Honey", "Salt")
TICK = 0.03  # seconds between two orders
TRICKLE = 2.0  # the same with --serve
BAR = 30  # characters


class Command(BaseCommand):
    """Place orders, kill a worker, and count: every order must have its receipt."""

    help = "Place orders while workers run and one of them is killed; then count the receipts."
    stopped = False

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        add = parser.add_argument
        add("--orders", type=int, default=60, help="how many orders to place (60)")
        add("--patience", type=float, default=60.0, help="seconds for the last receipt (60)")
        add("--serve", action="store_true", help="keep site, admin and workers running")
        add("--port", type=int, default=8000, help="the site's port with --serve (8000)")

    def handle(self, *args: Any, **options: Any) -> None:
        """Run the demo, or with --serve the site, until it is done or interrupted."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self.stop)
        with plain_errors():
            if options["serve"]:
                self.serve(options["port"])
            else:
                self.demo(options["orders"], options["patience"])

    def stop(self, *args: Any) -> None:
        """Take note of a signal; the loops look at it, so that all is undone in its order."""
        self.stopped = True

    def demo(self, count: int, patience: float) -> None:
        """Let the workers serve `count` orders and lose one of them on the way."""
        if count < 1:
            raise CommandError(f"--orders is {count}; at least 1 is needed.")
        redis = "a private Redis" if settings.JOBS["URL"].startswith("embedded:") else "your Redis"
        self.say(f"{count} orders, two workers, {redis}. One worker will be killed on the way.")
        with fresh_shop() as folder:
            call_command("migrate", verbosity=0)
            log = folder / "runjobs.log"
            with (
                log.open("wb") as output,
                running(*RUNJOBS, stdout=output, stderr=output) as supervisor,
            ):
                self.place_and_watch(count, patience, supervisor, log)
            self.report(count, log)

    def place_and_watch(self, count: int, patience: float, supervisor: Process, log: Path) -> None:
        """Place the orders; kill a worker at a third of the receipts; wait for the rest."""
        placed, receipts, supplies, victim = 0, 0, 0, 0
        deadline = time.monotonic() + count * TICK + patience
        while not self.stopped and time.monotonic() < deadline:
            if supervisor.poll() is not None:
                raise CommandError(f"runjobs ended by itself:\n{tail(log)}")
            if placed < count:
                place_order(placed)
                placed += 1
            receipts, supplies = Receipt.objects.count(), supplied()
            self.show(bar(receipts, supplies, count))
            if not victim and receipts > count // 3 and (victim := kill_worker(supervisor)):
                self.say(f"Worker {victim} was killed (SIGKILL); what it had begun runs again.")
            if receipts == count and supplies + failed() >= count:
                break
            time.sleep(TICK)
        self.say(bar(receipts, supplies, count))

    def report(self, count: int, log: Path) -> None:
        """Print the table. Raises CommandError, which is exit status 1, for a lost order."""
        placed, receipts = Order.objects.count(), Receipt.objects.count()
        if self.stopped:
            raise CommandError(f"Stopped after {receipts} of {count} receipts.", returncode=130)
        retried = Order.objects.filter(supply_attempts__gt=1).count()
        lost = placed - receipts
        self.say(f"  placed    {placed:>6}  orders")
        self.say(f"  receipts  {receipts:>6}")
        self.say(f"  retried   {retried:>6}  whose supplier refused at first")
        self.say(f"  failed    {failed():>6}  jobs that used up their attempts")
        self.say(f"  lost      {lost:>6}")
        if lost:
            raise CommandError(f"Without a receipt: {lost}. The workers said:\n{tail(log)}")
        self.say("Every order has its receipt. Add --serve to see the shop and its admin.")

    def serve(self, port: int) -> None:
        """Run site and workers on db.sqlite3, with a new order now and then, until Ctrl-C."""
        require_redis()
        call_command("migrate", verbosity=0)
        users = get_user_model().objects
        if not users.filter(username="admin").exists():
            users.create_superuser("admin", "admin@example.com", "admin")
        if answers(port):
            raise CommandError(f"Port {port} is taken; choose another with --port.")
        site = ("runserver", f"127.0.0.1:{port}", "--noreload")
        with running(*RUNJOBS) as jobs, running(*site, stdout=subprocess.DEVNULL) as web:
            self.trickle(port, {"runjobs": jobs, "runserver": web})
        self.say("Stopped.")

    def trickle(self, port: int, processes: dict[str, Process]) -> None:
        """Place an order now and then until Ctrl-C; say where the site is when it answers."""
        number, next_at, told = 0, time.monotonic(), False
        while not self.stopped:
            for name, process in processes.items():
                if process.poll() is not None:
                    raise CommandError(f"{name} ended by itself, see above.")
            if time.monotonic() >= next_at:
                place_order(number)
                number += 1
                next_at += TRICKLE
            if not told and answers(port):
                told = True
                self.say(f"An order comes every {TRICKLE:g} seconds. Ctrl-C stops everything.")
                self.say(f"Shop   http://127.0.0.1:{port}/")
                self.say(f"Admin  http://127.0.0.1:{port}/admin/  (user admin, password admin)")
            time.sleep(TICK)

    def say(self, line: str) -> None:
        """Write a line, over the progress bar if there is one."""
        self.show("")
        self.stdout.write(line)
        self.stdout.flush()

    def show(self, line: str) -> None:
        """Write a line that the next one replaces; nothing if this is no terminal."""
        if self.stdout.isatty():
            width = shutil.get_terminal_size().columns - 1
            self.stdout.write(f"\r{line[:width]:<{width}}\r", ending="")
            self.stdout.flush()


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
            require_redis()
            try:
                yield folder
            finally:
                delete_keys(prefix)
    finally:
        connection.close()
        shutil.rmtree(folder, ignore_errors=True)


def require_redis() -> None:
    """Raise CommandError if there is no Redis that jobs can live in."""
    for message in check_redis():
        if message.is_serious():
            hint = "Mend that, or unset REDIS_URL: then a private Redis is started."
            raise CommandError(
                f"{message.msg}\n{hint}" if "REDIS_URL" in os.environ else message.msg
            )


def delete_keys(prefix: str) -> None:
    """Delete what the demo put into Redis."""
    client = get_queue().client
    try:
        for key in client.scan_iter(match=f"{prefix}:*", count=1000):
            client.delete(key)
    except (RedisError, OSError) as error:
        raise CommandError(f"The keys {prefix}:* are still in Redis: {error}") from error


@contextmanager
def running(*arguments: str, **streams: Any) -> Iterator[Process]:
    """Run a management command next to this one; stop it at the end."""
    process = subprocess.Popen(
        [sys.executable, str(settings.BASE_DIR / "manage.py"), *arguments],
        **streams,
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


def bar(receipts: int, supplies: int, count: int) -> str:
    """Return the progress bar."""
    done = "#" * (BAR * receipts // count)
    return f"[{done:-<{BAR}}] {receipts} of {count} receipts, {supplies} supplied"


def supplied() -> int:
    """Return how many orders have got their supplies."""
    return Order.objects.filter(supply_attempts__gt=0).count()


def failed() -> int:
    """Return how many jobs used up their attempts."""
    return sum(get_queue(name).stats().failed for name in settings.JOBS["QUEUES"])


def answers(port: int) -> bool:
    """Say whether something listens on a port of this machine."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


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
