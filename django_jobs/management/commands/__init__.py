"""`manage.py runjobs` and `manage.py jobs`."""
