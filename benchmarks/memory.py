"""Bytes of Redis' memory per waiting job."""

from benchmarks.rig import rig

JOBS = 100_000


def main() -> None:
    """Print a line for each size of payload."""
    with rig() as bench:
        from django_jobs import push_jobs

        for size, setting in ((40, 64), (40, 1024), (200, 64), (200, 1024)):
            bench.clear()
            bench.redis.config_set("hash-max-listpack-value", setting)
            empty = bench.redis.info("memory")["used_memory"]
            push_jobs("noop", ["x" * (size - 2)] * JOBS)
            full = bench.redis.info("memory")["used_memory"]
            print(
                f"payload of {size:>4} bytes, hash-max-listpack-value {setting:>5}:"
                f" {(full - empty) / JOBS:6.0f} bytes a job"
            )


if __name__ == "__main__":
    main()
