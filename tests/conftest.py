"""Settings of all tests."""

from hypothesis import settings

# Machines are busy at times: no example is timed.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
