"""The tests; what they share says what differs when it fails, as they do."""

import pytest

pytest.register_assert_rewrite("tests.machine", "tests.twin")
