"""Traces by OpenTelemetry: an app, to be named in INSTALLED_APPS."""
