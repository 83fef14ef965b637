"""Dramatiq."""
# /// script
# dependencies = ["dramatiq[redis]", "hiredis", "django"]
# [tool.peer]
# waiting = "dramatiq:default"
# held = ["dramatiq:default", "dramatiq:default.DQ", "dramatiq:__acks__.*"]
# failed = ["dramatiq:default.XQ"]
# safe = "dramatiq {module} -p 2 -t 2"
# settings = [
#   "two processes of eight threads, its defaults on two cores (of thirty-two for jobs of 1 ms), 200 messages prefetched in each; no results, no Prometheus",
#   "in the fault race heartbeat_timeout 5 s and maintenance with every tenth command instead of every thousandth, so that a dead worker is seen soon",
# ]
# better = "The least to set for jobs that are not lost; well documented; middleware for all; RabbitMQ too."
# [[tool.peer.speed]]
# title = "Dramatiq"
# noop = "env dramatiq_queue_prefetch=200 dramatiq {module} -p 2 -t 8"
# nap = "env dramatiq_queue_prefetch=200 dramatiq {module} -p 2 -t 32"
# ///

import logging

import dramatiq
from dramatiq.brokers.redis import RedisBroker

from benchmarks.peers import work

logging.disable(logging.WARNING)
prompt = {"heartbeat_timeout": 5000, "maintenance_chance": 100_000} if work.SAFE else {}
broker = RedisBroker(url=work.URL, **prompt)
dramatiq.set_broker(broker)


@dramatiq.actor
def run(kind, number):
    """Run a job."""
    work.run(kind, number)


def push(kind, numbers):
    """Push one by one."""
    for number in numbers:
        run.send(kind, number)
