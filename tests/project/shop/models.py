"""An order, and what was sent for it."""

from django.db import models


class Order(models.Model):
    """Something that is to be paid."""

    paid = models.BooleanField(default=False)

    def __str__(self) -> str:
        return f"Order {self.pk}"


class Mail(models.Model):
    """A mail that went out."""

    order = models.ForeignKey(Order, on_delete=models.CASCADE)
    text = models.TextField()

    def __str__(self) -> str:
        return self.text
