"""Orders and receipts in the admin; django_jobs adds its queues and failed jobs itself."""

from django.contrib import admin

from shop.models import Order, Receipt


@admin.register(Order)
class OrderAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Orders, with what became of them."""

    list_display = ("id", "product", "quantity", "email", "placed_at", "supply_attempts", "receipt")
    list_select_related = ("receipt",)
    search_fields = ("product", "email")


@admin.register(Receipt)
class ReceiptAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Receipts that were sent."""

    list_display = ("id", "order", "sent_at")
    list_select_related = ("order",)
