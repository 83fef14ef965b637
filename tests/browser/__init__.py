"""The admin's pages in Chromium: what they say to eyes, keyboards, screen readers and policies."""
