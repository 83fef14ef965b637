"""The shop's page and the admin."""

from django.contrib import admin
from django.urls import path

from shop.views import home

urlpatterns = [
    path("", home, name="home"),
    path("admin/", admin.site.urls),
]
