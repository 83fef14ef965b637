"""Two admin sites side by side."""

from django.contrib import admin
from django.urls import path

from django_jobs.admin import register

second = admin.AdminSite(name="second")
register(second)

urlpatterns = [path("admin/", admin.site.urls), path("second/", second.urls)]
