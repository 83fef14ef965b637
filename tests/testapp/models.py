"""A table for handlers and transactions to write to."""

from django.db import models


class Note(models.Model):
    """Something written down."""

    text = models.CharField(max_length=100)

    def __str__(self) -> str:
        """Return the text."""
        return self.text
