"""The admin and a few views, for their tests."""

from django.contrib import admin
from django.urls import path

from django_jobs.prometheus import metrics
from tests.testapp import views

urlpatterns = [
    path("admin/", admin.site.urls),
    path("place/", views.place),
    path("place-async/", views.place_async),
    path("push-async/", views.push_async),
    path("metrics/", metrics),
]
