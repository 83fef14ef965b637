"""The outbox, in a project that has it."""
