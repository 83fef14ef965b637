"""For every rule of the scripts a mutant that breaks it, and that the state machine catches."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest
from hypothesis import seed, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test
from redis import Redis

from django_jobs import scripts
from tests.machine import SETTINGS, Machine
from tests.schedule_machine import ScheduleMachine

SEEDS = 60


class Mutant(NamedTuple):
    """A rule, and a piece of the scripts' text without which it does not hold."""

    rule: str
    text: str
    instead: str


MUTANTS = [
    # Fenced.
    Mutant("another token changes nothing", "if job[1] and job[1] ~= token then return -1 end", ""),
    Mutant("another worker changes nothing", "return owner == worker and 1 or -1", "return 1"),
    Mutant(
        "what waits is settled already", "if not owner then return 0 end", "owner = owner or worker"
    ),
    Mutant(
        "claim raises the token",
        "one_more(job[5])",
        "job[5] or '1'",
    ),
    Mutant("recover raises the token", "redis.call('HINCRBY', key, 'token', 1)", ""),
    Mutant(
        "retry keeps the token",
        "'exception', 'group', 'attempts',",
        "'exception', 'group', 'attempts', 'token',",
    ),
    # Only the living claim, each number once.
    Mutant("a number seen gets nothing", "tonumber(seen:match('^%d+')) >= number", "false"),
    Mutant("held raises the number", "if number > tonumber(seen) then", "if false then"),
    Mutant(
        "held keeps the ids of the last claim", "number .. ' ' .. ids)\nend", "number .. ' ')\nend"
    ),
    Mutant("a closed worker gets nothing", "if lease < 0 then return 'closed' end", ""),
    Mutant(
        "an unknown worker gets nothing",
        "if not lease or lease == 0 then return 'unregistered' end",
        "lease = lease or 1",
    ),
    Mutant(
        "claim does not register",
        "redis.call('ZADD', root .. ':workers', 'XX', now + lease, worker)",
        "",
    ),
    Mutant(
        "a beat does not bring back a closed worker",
        "lease < 0 then\n      closed",
        "false then\n      closed",
    ),
    Mutant(
        "close is remembered while jobs are held",
        "ARGV[2] == '1' and #answer == 0",
        "ARGV[2] == '1'",
    ),
    Mutant(
        "close names what the last claim holds",
        "answer[#answer + 1] = id\n    answer[#answer + 1] = redis.call('HGET', job_key(root, id), 'token') or '0'\n  end\nend\nif redis.call('HGET', root .. ':meta'",
        "end\nend\nif redis.call('HGET', root .. ':meta'",
    ),
    # Recovery.
    Mutant(
        "two looks before a worker is dead",
        "if seen ~= lease then",
        "seen, at = lease, at or '0'\n    if seen ~= lease then",
    ),
    Mutant("the same lease at both looks", "if seen ~= lease then", "if not seen then"),
    Mutant("grace between the looks", "elseif tonumber(at) + grace <= now then", "else"),
    Mutant("a closed worker's jobs wait one grace", "-lease + grace <= now", "true"),
    Mutant("sweep names what the asking worker holds", "worker == ARGV[1] or dead(", "dead("),
    Mutant(
        "held enters who is unregistered",
        "if not lease then redis.call('ZADD', root .. ':workers', 0, worker) end\nif number",
        "if number",
    ),
    Mutant("who holds jobs is not forgotten", "if not owners[worker] and", "if"),
    Mutant("a dead worker is closed", "redis.call('ZADD', workers, grace - now, worker)", ""),
    Mutant(
        "recover ends at max_attempts",
        "if (tonumber(job[1]) or 0) >= (tonumber(job[2]) or 5) then",
        "if false then",
    ),
    Mutant("recover counts crashes", "elseif crashes > 1 then", "elseif false then"),
    Mutant(
        "recover keeps the attempt",
        "if standing(root, id, token, worker, owner) == 1 then\n    vacate(root, {id})\n    record_error",
        "if standing(root, id, token, worker, owner) == 1 then\n    lower_attempts(key)\n    vacate(root, {id})\n    record_error",
    ),
    # Attempts.
    Mutant(
        "claim counts the attempt",
        "one_more(job[6])",
        "job[6] or '0'",
    ),
    Mutant("a snooze gives the attempt back", "lower_attempts(job_key(root, id))", ""),
    Mutant(
        "a snooze waits for its delay",
        "wait_again(root, id, tonumber(ARGV[i + 2]), now)",
        "wait_again(root, id, 1, now)",
    ),
    Mutant("release gives the attempt back", "lower_attempts(key)\n    if", "if"),
    Mutant("retry begins anew", "'group', 'attempts', 'crashes'", "'group', 'crashes'"),
    Mutant("ahead never takes a last attempt", "then room.ahead = 0 end", "then end"),
    Mutant("a result says who made it", "'worker', worker, 'result'", "'result'"),
    # Order.
    Mutant(
        "first in, first out",
        "return redis.call('LPUSH', root .. ':active', id)",
        "return redis.call('RPUSH', root .. ':active', id)",
    ),
    Mutant(
        "what is given back goes to the head",
        "redis.call('RPUSH', root .. ':active', id)",
        "redis.call('LPUSH', root .. ':active', id)",
    ),
    Mutant(
        "release keeps the old order", "for i = #ARGV - 1, 3, -2 do", "for i = 3, #ARGV - 1, 2 do"
    ),
    Mutant(
        "recover keeps the old order", "for i = #ARGV - 2, 3, -3 do", "for i = 3, #ARGV - 2, 3 do"
    ),
    Mutant(
        "priority goes first",
        "{'before', 'list', 'keys', 'behind'}",
        "{'list', 'before', 'keys', 'behind'}",
    ),
    Mutant(
        "priority below 0 goes last",
        "{'before', 'list', 'keys', 'behind'}",
        "{'behind', 'before', 'keys', 'list'}",
    ),
    Mutant(
        "equal priorities keep their order",
        "redis.call('INCR', root .. ':queue') - priority",
        "-priority",
    ),
    Mutant(
        "a released priority keeps its place",
        "if score then return redis.call('ZADD', root .. ':priority', score, id) end",
        "if score then return redis.call('ZADD', root .. ':priority', score + 9, id) end",
    ),
    # Time.
    Mutant("only what is due is promoted", "'-inf', now, 'LIMIT'", "'-inf', '+inf', 'LIMIT'"),
    Mutant("what begins too late fails", "\n    elseif expired(job, now)", "\n    elseif false"),
    Mutant("of a key too", "\n      elseif expired(job, now)", "\n      elseif false"),
    Mutant("what has begun does not expire", "and (job[6] or '0') == '0'", ""),
    Mutant("a delay is waited for", "if due and due > now then", "if false then"),
    Mutant(
        "a retry waits for its delay",
        "return schedule(root, id, now + delay, now)",
        "return schedule(root, id, now, now)",
    ),
    Mutant(
        "promoted jobs leave the scheduled",
        "redis.call('ZREM', root .. ':scheduled', unpack(due))",
        "",
    ),
    # Operators.
    Mutant("paused gives nothing", "if not meta[1] then", "if true then"),
    Mutant(
        "an id is pushed once",
        "if redis.call('EXISTS', job_key(root, id)) == 1 then return 0 end",
        "",
    ),
    Mutant(
        "cancelled ids are counted",
        "redis.call('HINCRBY', root .. ':counts', 'cancelled', 1)",
        "",
    ),
    Mutant(
        "dropped ids are uncounted",
        "redis.call('HINCRBY', root .. ':counts', 'cancelled', -1) end",
        "end",
    ),
    Mutant(
        "a stopped id in the list is marked",
        "redis.call('HSET', job_key(root, id), 'listed', 1, 'more', 1)",
        "",
    ),
    Mutant(
        "a dropped id is marked no more",
        "if listed then redis.call('HDEL', job_key(root, id), 'listed') end",
        "",
    ),
    Mutant(
        "an id still in the list is not doubled",
        "if job[3] then\n    redis.call('HDEL', key, 'listed')",
        "if false then\n    redis.call('HDEL', key, 'listed')",
    ),
    Mutant(
        "only what failed is retried",
        "if not job or job[1] ~= 'failed' then return 0 end\n  local unique",
        "if not job then return 0 end\n  local unique",
    ),
    Mutant(
        "only what failed is discarded",
        "if job[1] ~= 'failed' then return 0 end\nexhume",
        "exhume",
    ),
    Mutant("only what waits is cancelled", "if job[1] then return false end", ""),
    Mutant(
        "a cancelled id is remembered",
        "if job[1] then redis.call('HSET', key, 'state', 'cancelled') end",
        "",
    ),
    # Garbage, hints, what is kept.
    Mutant(
        "garbage is buried",
        "if not job then return bury_garbage(root, id, now) end",
        "if not job then return end",
    ),
    Mutant(
        "a job that can be claimed leaves a hint",
        "options.limit_key, options.limit)\n    hint(root)",
        "options.limit_key, options.limit)",
    ),
    Mutant(
        "a claim that leaves jobs leaves a hint",
        "own.open > 0 then\n    hint(root)\n",
        "own.open > 0 then\n",
    ),
    Mutant(
        "one hint at most", "if redis.call('EXISTS', root .. ':wake') == 0 then", "if true then"
    ),
    Mutant(
        "old failures go",
        "'group'))\n    erase(root, id)",
        "'group'))",
    ),
    Mutant(
        "why it failed is kept",
        "'failed_at', now, 'exception', exception, 'group', group)",
        "'failed_at', now, 'group', group)",
    ),
    Mutant(
        "a failed job is in its group",
        "redis.call('ZADD', root .. ':group:' .. group, now, id)",
        "",
    ),
    Mutant("groups counts what comes", "redis.call('HINCRBY', root .. ':groups', group, 1)", ""),
    Mutant("what is retried leaves its group", "exhume(root, id, job[4])", "exhume(root, id, 'x')"),
    Mutant(
        "what is discarded leaves its group", "exhume(root, id, job[2])", "exhume(root, id, 'x')"
    ),
    Mutant(
        "an empty group is forgotten",
        "type(left) == 'number' and left < 1",
        "type(left) == 'number' and left < 0",
    ),
    Mutant("garbage has a group of its own", "if exception == 'Garbage' then return '?' end", ""),
    Mutant(
        "progress is for the claim that stands",
        "if answer == 1 then redis.call('HSET', job_key(root, id), 'progress', ARGV[4]) end",
        "redis.call('HSET', job_key(root, id), 'progress', ARGV[4])",
    ),
    # Stopped.
    Mutant("what was stopped is not tried again", "if stopped(root, id, now) then return end", ""),
    Mutant("nor after a crash", "if stopped(root, id, now) then return 'failed' end", ""),
    Mutant("nor when it is given back", "elseif not stopped(root, id, now) then", "else"),
    # Limits.
    Mutant(
        "no more than the concurrency",
        "if most then own.open = most - redis.call('HLEN', root .. ':processing') end",
        "",
    ),
    Mutant("a limited queue is never claimed ahead", "ahead = 0, open", "ahead = room.ahead, open"),
    Mutant("a key keeps to its limit", "return running(root, key) <", "return 0 <"),
    Mutant("what runs counts for its key", "      enter_key(root, id, key)\n", ""),
    Mutant(
        "what has ended counts no more",
        "if redis.call('EXISTS', root .. ':keyed') == 1 then",
        "if false then",
    ),
    Mutant("who leaves makes room for its key", "key) end\n  offer(root, key)", "key) end"),
    Mutant("a key that was asked is asked again", "    offer(root, key)\n  end", "  end"),
    Mutant("keys take turns", "'NX', redis.call('INCR', root .. ':queue'), key)", "'NX', 1, key)"),
    Mutant("first in, first out of a key", "'LPUSH', limit_key", "'RPUSH', limit_key"),
    Mutant("given back first of its key", "'RPUSH', limit_key", "'LPUSH', limit_key"),
    Mutant(
        "what was taken out of a key is not claimed",
        "if type(id) == 'string' and redis.call('ZREM', root .. ':limited', id) == 1 then",
        "redis.call('ZREM', root .. ':limited', type(id) == 'string' and id or '')\n    if type(id) == 'string' then",
    ),
    Mutant(
        "a waiting job of a key can be taken out",
        "if job[4] then return redis.call('ZREM', root .. ':limited', id) == 1 end",
        "",
    ),
    Mutant(
        "the list and the keys take turns",
        "return {'before', 'keys', 'list', 'behind'}",
        "return PLACES",
    ),
    # Batches.
    Mutant("a job is in a batch once", "':jobs', id) == 1", "':jobs', id) == 9"),
    Mutant("a batch waits for its total", "if not counts[1] then return end", ""),
    Mutant("a batch waits for all", "+ counts[4] < counts[1] then return end", "< 0 then end"),
    Mutant("what follows a batch follows once", "  redis.call('HDEL', key, name)\n", ""),
    Mutant(
        "what follows comes in any order",
        "HSET', key, unpack(fields))\n  finish(",
        "HSET', key, unpack(fields))\n  open_batch(",
    ),
    Mutant("failures are told apart", "counts[3] > 0 and 'on_failure' or", ""),
    Mutant("success counts in its batch", "mark(root, batch, id, 'succeeded', now_ms())", ""),
    Mutant("so does a kept job", "    mark(root, batch, id, 'succeeded', now)\n", ""),
    Mutant("so does failure", "  mark(root, job[3], id, 'failed', now)\n", ""),
    Mutant("so does what is cancelled", "mark(root, job[5], id, 'cancelled', now_ms())", ""),
    Mutant("what is discarded has failed", "if job[4] ~= 'failed' then mark", "if true then mark"),
    Mutant("what is retried waits again", "  mark(root, job[10], id, 'waiting', now)\n", ""),
    # Unique.
    Mutant("a key has one job", "if unique then other, state = stands(root, unique.key) end", ""),
    Mutant("a key is locked", "    lock(root, id, unique.key, ttl)\n", ""),
    Mutant(
        "success frees the key", "if answer == 1 and unique then unlock(root, id, unique) end", ""
    ),
    Mutant("failure frees the key", "unlock(root, id, job[1] or job[2])", ""),
    Mutant("what is deleted frees the key", "unlock(root, id, job[2] or job[3])", ""),
    Mutant("a kept job frees the key", "    unlock(root, id, unique)\n", ""),
    Mutant("a beginning frees the key", "unlock(root, id, job.more[UNIQUE])", ""),
    Mutant(
        "only who stands frees the key",
        "redis.pcall('GET', lock_key(root, unique)) == id then",
        "true then",
    ),
    Mutant("retry asks who stands", "if other then return other end", ""),
    Mutant("retry takes the key again", "if unique then lock(root, id, unique, job[7]) end", ""),
    Mutant("replace gives the due time", "schedule(root, other, due or now, now)", ""),
    Mutant(
        "a kept job is among the succeeded",
        "redis.call('ZADD', root .. ':succeeded', now + ttl, id)",
        "",
    ),
    Mutant("a kept job says so", "'state', 'succeeded', 'finished_at'", "'finished_at'"),
    Mutant("a succeeded job is gone", "redis.call('DEL', unpack(done))", ""),
    Mutant(
        "a settled job is processing no more",
        "redis.call('HDEL', root .. ':processing', unpack(ids))",
        "",
    ),
]


SCHEDULES = [
    # Fire.
    Mutant(
        "an occurrence is fired once",
        "if redis.call('ZSCORE', root .. ':schedules', name) ~= ARGV[2] then return 0 end",
        "",
    ),
    Mutant(
        "by the rhythm it was computed from", "if (part or '') ~= ARGV[2 + i] then", "if false then"
    ),
    Mutant("then the next one is due", "set_due(root, name, ARGV[6], now)", ""),
    Mutant("no id, no job", "if ARGV[7] ~= '' then", "if true then"),
    Mutant("what was missed is remembered", "elseif ARGV[8] == '1' then", "elseif false then"),
    Mutant("what was never due was not missed", "elseif ARGV[8] == '1' then", "else"),
    Mutant(
        "what stands is not doubled", "options[option] = found[i] or nil", "options[option] = nil"
    ),
    Mutant("what was pushed is remembered", "remember(key, at .. ' pushed ' .. id)", "do end"),
    Mutant("what was skipped too", "if answer == 2 then", "if false then"),
    Mutant("the newest is kept", "local entries = {entry}", "local entries = {}"),
    # What is due.
    Mutant(
        "claim names what is due",
        "if not first or first > now then return first end",
        "do return first end",
    ),
    Mutant("and nothing early", "'-inf', now, 'BYSCORE'", "'-inf', '+inf', 'BYSCORE'"),
    Mutant(
        "claim knows when to look",
        "if not first or first > now then return first end",
        "if not first or first > now then return nil end",
    ),
    Mutant(
        "claim is told what is due first",
        "redis.call('HSET', root .. ':meta', 'schedules_at', first)",
        "",
    ),
    Mutant(
        "and when nothing is",
        "return redis.call('HDEL', root .. ':meta', 'schedules_at')",
        "return",
    ),
    Mutant("a worker wakes for it", "expect(root, tonumber(first), now)", ""),
    # Define.
    Mutant("the newer code counts", "not at or at <= since or at > now", "true"),
    Mutant("newer code may change it", "not at or at <= since or at > now", "not at"),
    Mutant("what the code dropped goes", "set_due(root, name, nil, now) end", "end"),
    Mutant("what others have defined stays", "owner == project and", ""),
    Mutant("what is listed stays", "not listed[name] and owner", "owner"),
    Mutant("a new rhythm is due anew", "(same or due == 'inf')", "true"),
    Mutant("the same one is due when it was", "(same or due == 'inf')", "due == 'inf'"),
    Mutant("what is paused stays so", "(same or due == 'inf')", "same"),
    Mutant(
        "nothing is left of an old definition",
        "redis.call('DEL', key)\n  redis.call('HSET', key, unpack(fields))",
        "redis.call('HSET', key, unpack(fields))",
    ),
    Mutant("its past is kept", "if type(recent) == 'string' then", "if false then"),
    # Operators.
    Mutant("paused is not due", "set_due(KEYS[1], ARGV[1], 'inf', now_ms())", ""),
    Mutant(
        "paused once",
        "if not due or due == 'inf' then return 0 end",
        "if not due then return 0 end",
    ),
    Mutant(
        "what is gone is not paused",
        "if not due or due == 'inf' then return 0 end",
        "if due == 'inf' then return 0 end",
    ),
    Mutant("resumed is due", "set_due(KEYS[1], ARGV[1], 0, now_ms())", ""),
    Mutant(
        "only what is paused is resumed",
        "if redis.call('ZSCORE', KEYS[1] .. ':schedules', ARGV[1]) ~= 'inf' then return 0 end",
        "",
    ),
    Mutant("removed is gone", "set_due(KEYS[1], ARGV[1], nil, now_ms())", ""),
    Mutant("only what is there is", "~= false end", "~= 1 end"),
]


@pytest.fixture
def broken(mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Break one rule of the scripts."""
    read = scripts._read
    found = sum(read(path.stem).count(mutant.text) for path in scripts.FOLDER.glob("*.lua"))
    assert found == 1, f"mutant {mutant.rule!r}: its text is in the scripts {found} times, not once"
    monkeypatch.setattr(
        scripts, "_read", lambda name: read(name).replace(mutant.text, mutant.instead)
    )
    scripts.get_script.cache_clear()
    yield
    scripts.get_script.cache_clear()


def catches(machine: Callable[[], RuleBasedStateMachine]) -> None:
    """Few examples from each of many seeds: Hypothesis varies its own more and more."""
    with pytest.raises(AssertionError):
        for number in range(SEEDS):
            run_state_machine_as_test(
                seed(number)(lambda: machine()), settings=settings(SETTINGS, max_examples=4)
            )


@pytest.mark.parametrize("mutant", MUTANTS, ids=[mutant.rule for mutant in MUTANTS])
@pytest.mark.usefixtures("broken")
def test_the_machine_catches_a_broken_rule(client: Redis, mutant: Mutant) -> None:
    catches(lambda: Machine(client))


@pytest.mark.parametrize("mutant", SCHEDULES, ids=[mutant.rule for mutant in SCHEDULES])
@pytest.mark.usefixtures("broken")
def test_the_machine_of_schedules_catches_a_broken_rule(client: Redis, mutant: Mutant) -> None:
    catches(lambda: ScheduleMachine(client))
