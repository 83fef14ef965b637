"""The transactional outbox: a job if and only if its transaction commits.

An app of its own: `INSTALLED_APPS += ["django_jobs.outbox"]`. A push inside `atomic()` writes
a row in the same transaction; the commit takes it to Redis, and what it could not take there
the relay does.
"""
