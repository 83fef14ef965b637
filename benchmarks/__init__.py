"""How fast it is, beside bare redis-py loops on the same Redis in the same run."""
