"""TLS, and users who may do their work and nothing else: the rules of docs/redis.md, on a real server."""

import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from redis.exceptions import ResponseError

from django_jobs.bulk import of_failed
from django_jobs.connection import announce, get_client
from django_jobs.exceptions import Empty, PushError
from django_jobs.invariants import check
from django_jobs.monitor import pages
from django_jobs.queue import Queue
from tests.clusters.conftest import Work, account_of
from tests.clusters.topology import Cluster
from tests.conftest import free_port, wait_until
from tests.faults.site import Server
from tests.processes import ran

DOCUMENT = Path(__file__).parents[2] / "docs" / "redis.md"
As = Callable[[str], Queue]


def add_users(server: Server) -> None:
    """Give a server the users of the document."""
    for line in re.findall(r"^    user (.+)$", DOCUMENT.read_text(), re.MULTILINE):
        server.client.execute_command("ACL", "SETUSER", *line.split())


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A server with the users of the document."""
    server = Server(tmp_path / "redis")
    add_users(server)
    yield server
    server.end()


@pytest.fixture
def acting(server: Server) -> As:
    """Return the queue as a user sees it."""
    words = {"producer": "one", "worker": "two", "operator": "three"}

    def queue(user: str) -> Queue:
        url = f"redis://{user}:{words[user]}@127.0.0.1:{server.port}/0"
        client = get_client(url)
        return Queue("email", client, announce=lambda name: announce(client, "jobs", name))

    return queue


def refused(action: Callable[[], object]) -> None:
    """Redis says that this user may not do it; each version in its own words."""
    with pytest.raises(ResponseError, match=r"permission|ACL|can't"):
        action()


def all_refuse(queue: Queue) -> None:
    """Nobody gets at what is not ours, or at the server."""
    redis = queue.client
    refused(lambda: redis.set("other:key", 1))
    refused(lambda: redis.keys("jobs:*"))
    refused(lambda: redis.flushall())
    refused(lambda: redis.config_set("maxmemory", 1))
    refused(lambda: redis.acl_list())
    refused(lambda: redis.eval("return redis.call('GET', 'other:key')", 0))


def claims_nothing(queue: Queue) -> None:
    """Whoever may not ask STRLEN gets no job, and leaves no trace."""
    before = queue.client.llen("jobs:email:active")
    assert before
    with pytest.raises(Empty):
        queue.pull(print)
    assert queue.client.llen("jobs:email:active") == before


def test_a_producer_pushes_and_nothing_else(server: Server, acting: As) -> None:
    queue, sees = acting("producer"), Queue("email", server.client)
    ids = [queue.push({"n": 1}, "shop.send"), queue.push(None, "shop.send", priority=5)]
    ids += [queue.push(delay=60), queue.push(unique="key"), queue.push(limit_key="k", limit=1)]
    assert queue.push(unique="key") != ids[3]
    assert queue.push(unique="key", replace=True) != ids[3]
    assert sees.stats().active == 4
    assert server.client.smembers("jobs:queues") == {b"email"}
    refused(lambda: queue.job(ids[0]))
    refused(lambda: list(queue.failed()))
    claims_nothing(queue)
    all_refuse(queue)
    assert check(sees) == []


def test_a_worker_runs_jobs_and_has_no_power_over_the_server(
    server: Server, acting: As, work: Work, ledger: Path
) -> None:
    tree = work(f"redis://worker:two@127.0.0.1:{server.port}/0", "--queues", "email")
    queue = acting("producer")
    ids = [queue.push(None, "test.quick") for _ in range(50)] + [queue.push(None, "test.broken")]
    queue.push(None, "test.quick", delay=0.5)
    wait_until(lambda: set(ids[:-1]) < set(ran(ledger)) and len(ran(ledger)) == 51, 20)
    sees = Queue("email", server.client)
    wait_until(lambda: sees.stats().failed == 1, 20)
    assert acting("worker").push(None, "test.quick")
    all_refuse(acting("worker"))
    assert "refuse" not in tree.output
    assert check(sees) == []


def test_an_operator_sees_and_moves_jobs_and_claims_none(server: Server, acting: As) -> None:
    queue, sees = acting("operator"), Queue("email", server.client)
    ids = [acting("producer").push({"n": n}, max_attempts=1) for n in range(4)]
    for _ in "12":
        with pytest.raises(ZeroDivisionError):
            acting("worker").pull(lambda job: 1 / 0)
    assert [record.id for record in queue.failed()] == [ids[1], ids[0]]
    assert queue.stats().failed == 2
    assert queue.edit(ids[1], {"n": 7})
    assert queue.cancel(ids[2])
    assert queue.fail(ids[3], "why")
    assert queue.discard(ids[3])
    work = of_failed("retry", pages.failed([queue]))
    work.step(lambda name: queue)
    assert (work.done, sees.stats().active) == (1, 2)
    assert queue.pause()
    assert queue.resume()
    assert check(queue) == []
    claims_nothing(queue)
    all_refuse(queue)


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate for 127.0.0.1, signed by itself, and beside it its key."""
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-keyout", "key.pem", "-out", "ca.pem", "-subj", "/CN=127.0.0.1"),
            *("-addext", "subjectAltName=IP:127.0.0.1"),
        ],
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )
    return tmp_path / "ca.pem"


def words_for(certificate: Path) -> tuple[str, ...]:
    """Return what a server needs for TLS."""
    own = ("--tls-cert-file", str(certificate), "--tls-key-file", f"{certificate.parent}/key.pem")
    return (*own, "--tls-ca-cert-file", str(certificate), "--tls-auth-clients", "no")


def test_everything_goes_by_tls(certificate: Path, work: Work, ledger: Path) -> None:
    port = free_port()
    words = (*words_for(certificate), "--tls-port", str(port))
    server = Server(certificate.parent / "redis", *words)
    try:
        plain = f"rediss://127.0.0.1:{port}/0"
        url = f"{plain}?ssl_ca_certs={certificate}"
        account = account_of(url, ledger, "email")
        work(url, "--queues", "email")
        account.push(seconds=0.5)
        account.close()
        with pytest.raises(PushError, match="CERTIFICATE_VERIFY_FAILED"):
            Queue("email", get_client(plain)).push()
    finally:
        server.end()


def test_in_a_cluster_too_and_with_few_rights(certificate: Path, work: Work, ledger: Path) -> None:
    words = words_for(certificate)
    cluster = Cluster(certificate.parent / "cluster", replicas=False, certificates=words)
    try:
        for server in cluster.servers:
            add_users(server)
        hosts = ",".join(f"127.0.0.1:{port}" for port in cluster.tls_ports)
        url = f"rediss+cluster://worker:two@{hosts}?ssl_ca_certs={certificate}"
        with pytest.raises(PushError, match=r"cluster\|slots"):
            Queue("a", get_client(url, "jobs:{a}"), cluster=True).push()
        for server in cluster.servers:
            server.client.execute_command("ACL", "SETUSER", "worker", "+cluster|slots")
        account = account_of(url, ledger, "a", "b", "c")
        work(url, "--queues", "a,b,c")
        account.push(seconds=1)
        account.close()
        by_tls = [
            line
            for s in cluster.servers
            for line in s.client.client_list()
            if line["user"] == "worker"
        ]
        assert {int(line["laddr"].rpartition(":")[2]) for line in by_tls} == {*cluster.tls_ports}
    finally:
        cluster.end()
