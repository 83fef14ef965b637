"""Tests of the backend for Django's tasks, or those of django-tasks on Django 5.2."""
