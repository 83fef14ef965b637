"""What the words of `manage.py jobs` do: each is one function in the table of `words`."""
