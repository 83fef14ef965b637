"""What other code can listen to; every signal is sent robustly, a receiver harms nobody.

`job_pushed`, `job_push_failed` and `job_push_delayed` come from the process that pushes, the others
from worker processes, those of jobs after Redis has recorded the change.
"""

from django.dispatch import Signal

job_pushed = Signal()  # sender=handler name: id, queue, handler
job_push_failed = Signal()  # sender=handler name: id, queue, handler, payload, error
job_push_delayed = Signal()  # sender=handler name: id, queue, handler, error; the outbox has it
job_started = Signal()  # sender=handler name: job
job_succeeded = Signal()  # sender=handler name: job
job_retried = Signal()  # sender=handler name: job, error, delay
job_failed = Signal()  # sender=handler name: job, error
job_recovered = Signal()  # sender=queue name: id, queue, worker, state
worker_stopped = Signal()  # sender=worker id; the last thing in its process: what waits is sent now
