"""What the shop stores."""

from django.db import models


class Order(models.Model):
    """What a customer ordered; `supply_attempts` is 0 until the supplies are ordered."""

    product = models.CharField(max_length=100)
    quantity = models.PositiveIntegerField(default=1)
    email = models.EmailField()
    placed_at = models.DateTimeField(auto_now_add=True)
    supply_attempts = models.PositiveSmallIntegerField(default=0, editable=False)

    class Meta:
        ordering = ("-pk",)

    def __str__(self) -> str:
        return f"Order {self.pk}: {self.quantity} x {self.product}"


class Receipt(models.Model):
    """The receipt of an order; one to one, so that there cannot be two."""

    order = models.OneToOneField(Order, on_delete=models.CASCADE)
    sent_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"Receipt of order {self.order_id}"
