"""A table for handlers and transactions to write to."""

from django.db import models


class Note(models.Model):
    """Something written down."""

    text = models.CharField(max_length=100)

    def __str__(self) -> str:
        """Return the text."""
        return self.text


class Reply(models.Model):
    """Something that needs a note, which the database looks for at commit."""

    note = models.ForeignKey(Note, on_delete=models.CASCADE)

    def __str__(self) -> str:
        """Return the text of the note."""
        return f"Re: {self.note}"
