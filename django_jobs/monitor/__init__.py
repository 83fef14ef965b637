"""The read side over several queues: counts, pages, workers, history; never on the hot path.

Each queue brings its own client, so queues of several Redis servers can stand on one page.
"""
