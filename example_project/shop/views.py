"""The shop's only page: place an order, see what became of the others."""

from django import forms
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from shop.models import Order

SHOWN = 50


class OrderForm(forms.ModelForm):  # type: ignore[type-arg]
    """What a customer fills in."""

    class Meta:
        model = Order
        fields = ("product", "quantity", "email")


def home(request: HttpRequest) -> HttpResponse:
    """List the orders; place one on POST."""
    form = OrderForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        with transaction.atomic():
            form.save()  # the signal's job is pushed when this block commits
        return redirect("home")
    orders = Order.objects.select_related("receipt")[:SHOWN]
    return render(request, "shop/home.html", {"form": form, "orders": orders})
