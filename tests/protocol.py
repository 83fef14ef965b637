"""The protocol between workers, their supervisor and Redis, as a model that is explored completely.

One job, two workers, their supervisor, one Redis, and a worker on another machine. Requests
come late, in any order, or never; replies are lost; a run fails; a worker is killed at any
moment, or the machine with all on it; a lease runs out although its worker lives. What the
scripts do is said here once more, in a few lines each, so that a rule can be left out.
"""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

RULES = (
    "a claim number that was seen gets nothing",
    "held raises the number",
    "held names what the last claim took",
    "what was not known is given back",
    "a worker in doubt asks before it claims",
    "close ends a worker's claims",
    "close names what the last claim took",
    "a beat does not bring back a closed worker",
    "claim raises the token",
    "settle is fenced",
    "the supervisor settles what had ended",
    "the supervisor recovers what had begun",
    "sweep recovers what the dead hold",
    "a lease is looked at twice",
)
BAD_LUCK = 2  # replies lost, requests given up, deaths
LATE = 2  # requests under way at once
CLAIMS = (3, 1)  # up to which number each worker claims

WAITING, HELD, DONE = "waiting", "held", "done"
UNKNOWN, LIVE, SUSPECT, CLOSED = "unknown", "live", "suspect", "closed"
IDLE, RUNNING, SUCCEEDED, FAILED = "idle", "running", "succeeded", "failed"
ALIVE, RENAMED, DEAD, BURIED = "alive", "alive under another id", "dead", "buried"


@dataclass(frozen=True, slots=True, order=True)
class Request:
    """What a worker has sent and Redis has not done yet."""

    worker: int
    kind: str  # beat | claim | held | release | succeeded | failed
    number: int  # of the claim, or the job's token


@dataclass(frozen=True, slots=True)
class Worker:
    """What Redis knows of a worker, then what its process knows."""

    lease: str = UNKNOWN
    seen: int = 0  # the number of its last claim
    took: bool = False  # which took the job
    life: str = ALIVE
    number: int = 0
    waits: Request | None = None  # for the reply to this
    doubt: bool = False
    token: int = 0  # of the job that it knows to hold
    run: str = IDLE
    back: int = 0  # the token of a job to be given back


@dataclass(frozen=True, slots=True)
class State:
    """Everything at one moment."""

    place: str = WAITING
    owner: int = -1
    token: int = 0
    workers: tuple[Worker, ...] = (Worker(), Worker())
    sent: tuple[Request, ...] = ()
    luck: int = BAD_LUCK
    supervised: bool = True
    failed: bool = False  # a run has; one may
    runs: int = 1  # how many may begin yet: one more for each that failed, or was cut short
    charges: int = 0  # attempts that may be counted: one for each claim that was cut short
    ran: bool = False  # a run has come to its end

    def holds(self, n: int, token: int | None = None) -> bool:
        """Say whether Redis says that this worker holds the job (by this token)."""
        return self.place == HELD and self.owner == n and token in (None, self.token)

    def worker(self, n: int, **changes: object) -> "State":
        """Return the state with one worker changed."""
        workers = list(self.workers)
        workers[n] = replace(workers[n], **changes)  # type: ignore[arg-type]
        return replace(self, workers=tuple(workers))

    def send(self, request: Request) -> "State":
        """Return the state with a request under way, whose reply is waited for."""
        state = replace(self, sent=tuple(sorted([*self.sent, request])))
        return state.worker(request.worker, waits=request)

    def unlucky(self, *, cut: bool = False) -> "State":
        """Return the state after bad luck, which may have cut a claim short."""
        state = self.cut() if cut else self
        return replace(state, luck=self.luck - 1)

    def cut(self) -> "State":
        """Return the state in which one more run, and one more charge, is right."""
        return replace(self, runs=self.runs + 1, charges=self.charges + 1)

    def begin(self) -> "State":
        return replace(self, runs=self.runs - 1)


Step = tuple[str, State]


class Protocol:
    """What may happen next, without the rules that are left out."""

    def __init__(self, without: str = "") -> None:
        self.without = without

    def keeps(self, rule: str) -> bool:
        """Say whether a rule holds."""
        assert rule in RULES
        return rule != self.without

    def steps(self, state: State, *, fair: bool = False) -> Iterator[Step]:
        """Yield what may happen; `fair` leaves out bad luck."""
        for n, worker in enumerate(state.workers):
            if worker.life == ALIVE:
                yield from self._acts(state, n, worker)
            elif worker.life == DEAD and state.supervised:
                yield from self._bury(state, n, worker)
            yield from self._sweep(state, n, worker, fair=fair)
        for request in dict.fromkeys(state.sent):
            yield from self._execute(state, request, fair=fair)
        if state.place == WAITING:
            elsewhere = replace(state.begin(), place=DONE, ran=True)
            yield "another machine's worker does the job", elsewhere
        if not fair and state.luck:
            yield from self._bad_luck(state)

    # Workers.

    def _acts(self, state: State, n: int, worker: Worker) -> Iterator[Step]:
        if worker.run == RUNNING:
            ended = replace(state, ran=True)
            yield f"{n}: the run succeeds", ended.worker(n, run=SUCCEEDED)
            if not state.failed:
                again = replace(ended, failed=True, runs=state.runs + 1)
                yield f"{n}: the run fails", again.worker(n, run=FAILED)
        if worker.token and worker.run == IDLE:
            yield f"{n}: the run begins", state.begin().worker(n, run=RUNNING)
        if worker.waits is None and len(state.sent) < LATE:
            yield from self._sends(state, n, worker)

    def _sends(self, state: State, n: int, worker: Worker) -> Iterator[Step]:
        number = worker.number + 1
        if worker.lease != LIVE and not any(r.kind == "beat" for r in state.sent if r.worker == n):
            beat = tuple(sorted([*state.sent, Request(n, "beat", 0)]))
            yield f"{n}: sends a beat", replace(state, sent=beat)
        if worker.run in (SUCCEEDED, FAILED):
            yield f"{n}: sends the outcome", state.send(Request(n, worker.run, worker.token))
        if worker.doubt:
            held = state.worker(n, number=number).send(Request(n, "held", number))
            yield f"{n}: asks what it holds", held
        elif worker.back:
            release = Request(n, "release", worker.back)
            yield f"{n}: gives back", state.worker(n, back=0).send(release)
        may_claim = not worker.doubt or not self.keeps("a worker in doubt asks before it claims")
        if may_claim and not worker.token and not worker.back and number <= CLAIMS[n]:
            claim = state.worker(n, number=number, doubt=False).send(Request(n, "claim", number))
            yield f"{n}: claims", claim

    # Redis.

    def _execute(self, state: State, request: Request, *, fair: bool) -> Iterator[Step]:
        """Do what was asked, now; its reply comes, or is lost."""
        sent = list(state.sent)
        sent.remove(request)
        state = replace(state, sent=tuple(sent))
        done, reply = getattr(self, f"_{request.kind}")(state, request.worker, request.number)
        name, worker = f"Redis: {request}", done.workers[request.worker]
        if worker.life != ALIVE or worker.waits != request:
            yield f"{name}, nobody waits", done
            return
        heard = reply(done.worker(request.worker, waits=None))
        yield name, heard
        if not fair and state.luck:
            lost = done.unlucky().worker(request.worker, waits=None, doubt=True)
            yield f"{name}, its reply is lost", lost

    def _beat(self, state: State, n: int, _: int) -> tuple[State, Callable[[State], State]]:
        may = state.workers[n].lease != CLOSED
        if not may and self.keeps("a beat does not bring back a closed worker"):
            return state, same
        return state.worker(n, lease=LIVE), same

    def _claim(self, state: State, n: int, number: int) -> tuple[State, Callable[[State], State]]:
        worker = state.workers[n]
        if worker.lease == UNKNOWN:
            return state, same
        if worker.lease == CLOSED and self.keeps("close ends a worker's claims"):
            return state, lambda heard: heard.worker(n, life=RENAMED)
        if number <= worker.seen and self.keeps("a claim number that was seen gets nothing"):
            return state, same
        took, lease = state.place == WAITING, LIVE if worker.lease == SUSPECT else worker.lease
        state = state.worker(n, seen=number, took=took, lease=lease)
        if not took:
            return state, same
        token = state.token + self.keeps("claim raises the token")
        taken = replace(state, place=HELD, owner=n, token=token)
        if not state.supervised:  # nobody but sweep will ever know
            taken = taken.cut()
        return taken, lambda heard: heard.worker(n, token=token or 1, run=IDLE)

    def _held(self, state: State, n: int, number: int) -> tuple[State, Callable[[State], State]]:
        worker = state.workers[n]
        if self.keeps("held raises the number"):
            state = state.worker(n, seen=max(worker.seen, number))
        if worker.lease == UNKNOWN:
            state = state.worker(n, lease=SUSPECT)
        stands = state.holds(n, worker.token)
        named = worker.took and self.keeps("held names what the last claim took")
        unknown = named and state.holds(n) and not stands
        back = state.token if unknown and self.keeps("what was not known is given back") else 0
        closed = worker.lease == CLOSED

        def hear(heard: State) -> State:
            if not stands:
                heard = heard.worker(n, token=0, run=IDLE)
            return heard.worker(n, doubt=False, back=back, life=RENAMED if closed else ALIVE)

        return state, hear

    def _fenced(self, state: State, n: int, token: int) -> bool:
        return state.holds(n, token) or (state.place != DONE and not self.keeps("settle is fenced"))

    def _release(self, state: State, n: int, token: int) -> tuple[State, Callable[[State], State]]:
        stands = state.holds(n, token)
        return replace(state, place=WAITING, owner=-1) if stands else state, same

    def _succeeded(
        self, state: State, n: int, token: int
    ) -> tuple[State, Callable[[State], State]]:
        stands = self._fenced(state, n, token)
        done = replace(state, place=DONE, owner=-1) if stands else state
        return done, lambda heard: heard.worker(n, token=0, run=IDLE)

    def _failed(self, state: State, n: int, token: int) -> tuple[State, Callable[[State], State]]:
        stands = self._fenced(state, n, token)
        again = replace(state, place=WAITING, owner=-1) if stands else state
        return again, lambda heard: heard.worker(n, token=0, run=IDLE)

    def _recover(self, state: State) -> State:
        charges = state.charges - 1
        return replace(state, place=WAITING, owner=-1, token=state.token + 1, charges=charges)

    # Who looks after them.

    def _bury(self, state: State, n: int, worker: Worker) -> Iterator[Step]:
        """Close first, then settle, recover or release what the flight table and Redis name."""
        if worker.lease != CLOSED or worker.waits is not None:
            last = worker.took and self.keeps("close names what the last claim took")
            back = state.token if last and state.holds(n) else 0
            yield f"supervisor: closes {n}", state.worker(n, lease=CLOSED, back=back, waits=None)
            return
        buried = state.worker(n, life=BURIED, token=0, back=0, run=IDLE)
        if worker.token and state.holds(n, worker.token):
            yield f"supervisor: settles for {n}", self._settle_for(buried, n, worker)
        else:
            yield f"supervisor: releases what {n} took", self._release(buried, n, worker.back)[0]

    def _settle_for(self, state: State, n: int, worker: Worker) -> State:
        if worker.run == RUNNING:
            kept = self.keeps("the supervisor recovers what had begun")
            return self._recover(state) if kept else state
        if worker.run == IDLE:
            return self._release(state, n, worker.token)[0]
        if not self.keeps("the supervisor settles what had ended"):
            return self._recover(state)
        return (self._succeeded if worker.run == SUCCEEDED else self._failed)(
            state, n, worker.token
        )[0]

    def _sweep(self, state: State, n: int, worker: Worker, *, fair: bool) -> Iterator[Step]:
        """What another machine's worker finds: a lease that ran out, jobs of the dead."""
        gone = worker.life == DEAD and not state.supervised
        held = state.holds(n)
        looked = SUSPECT if self.keeps("a lease is looked at twice") else CLOSED
        if worker.lease == LIVE or (worker.lease == UNKNOWN and held):
            if gone:
                yield f"sweep: the lease of {n} has run out", state.worker(n, lease=looked)
            elif state.luck and not fair:  # Redis was away
                looks = state.unlucky().worker(n, lease=looked)
                yield f"sweep: the lease of {n} looks run out", looks
        if worker.lease == SUSPECT and gone:
            yield f"sweep: {n} is dead", state.worker(n, lease=CLOSED)
        if worker.lease == SUSPECT and worker.life == ALIVE and state.luck and not fair:
            silent = state.unlucky(cut=held).worker(n, lease=CLOSED)
            yield f"sweep: {n} was silent for too long", silent
        if worker.lease == CLOSED and held and (gone or worker.life != DEAD):
            if self.keeps("sweep recovers what the dead hold"):
                yield f"sweep: recovers what {n} holds", self._recover(state)
        over = worker.life in (RENAMED, BURIED) and not any(r.worker == n for r in state.sent)
        if worker.lease == CLOSED and over and not held:  # a day later
            yield f"sweep: forgets {n}", state.worker(n, lease=UNKNOWN, seen=0, took=False)

    def _bad_luck(self, state: State) -> Iterator[Step]:
        for n, worker in enumerate(state.workers):
            if worker.life != ALIVE:
                continue
            if worker.waits is not None:
                yield f"{n}: gives up waiting", state.unlucky().worker(n, waits=None, doubt=True)
            if state.supervised:
                dead = state.unlucky(cut=worker.run == RUNNING)
                yield f"{n}: is killed", dead.worker(n, life=DEAD)
        if state.supervised:
            dead = state.unlucky(cut=state.place == HELD)
            for n, worker in enumerate(state.workers):
                if worker.life == ALIVE:
                    dead = dead.worker(n, life=DEAD)
            yield "the machine dies", replace(dead, supervised=False)


def same(state: State) -> State:
    """A reply that tells nothing."""
    return state


def broken(state: State) -> str:
    """Say which promise does not hold in this state; empty if all do."""
    if state.place == DONE and not state.ran:
        return "a job is gone that never ran"
    if state.runs < 0:
        return "a job ran twice, and no run was cut short"
    if state.charges < 0:
        return "an attempt was counted for a run that was not cut short"
    for n, worker in enumerate(state.workers):
        if state.supervised and worker.life == BURIED and state.holds(n) and not worker.waits:
            return "a buried worker holds the job"
    return ""


@dataclass(frozen=True, slots=True)
class Found:
    """How many states there are, and the shortest way to a broken promise."""

    states: int
    promise: str = ""
    way: tuple[str, ...] = ()


def explore(protocol: Protocol) -> Found:
    """Walk through every state; stop at the first that breaks a promise, or has no way out."""
    start = State()
    before: dict[State, tuple[State, str] | None] = {start: None}
    line = deque([start])
    while line:
        state = line.popleft()
        if promise := broken(state):
            return Found(len(before), promise, _way(before, state))
        for name, after in protocol.steps(state):
            if after not in before:
                before[after] = (state, name)
                line.append(after)
    if (stuck := _stuck(protocol, before)) is not None:
        return Found(len(before), "a job is stuck", _way(before, stuck))
    return Found(len(before))


def _stuck(protocol: Protocol, states: dict[State, tuple[State, str] | None]) -> State | None:
    """Return the first state from which, without more bad luck, the job never ends."""
    sources: dict[State, list[State]] = {}
    for state in states:
        for _, after in protocol.steps(state, fair=True):
            sources.setdefault(after, []).append(state)
    reached = {state for state in states if state.place == DONE}
    line = deque(reached)
    while line:
        for source in sources.get(line.popleft(), ()):
            if source not in reached:
                reached.add(source)
                line.append(source)
    return next((state for state in states if state not in reached), None)


def _way(before: dict[State, tuple[State, str] | None], state: State) -> tuple[str, ...]:
    way: list[str] = []
    while (step := before[state]) is not None:
        state, name = step
        way.append(name)
    return tuple(reversed(way))
