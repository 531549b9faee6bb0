"""The operator's log: a line a message, whatever it quotes; tracebacks keep their lines."""

import logging
import sys

from mlservice.cli.main import OneLine


def logged(message, error=None):
    record = logging.LogRecord("a", logging.INFO, "a.py", 1, message, (), error)
    return OneLine("%(levelname)s %(message)s").format(record)


def test_quoted_line_breaks_and_control_characters_make_no_lines():
    assert logged("it says: a\nINFO b\r\x1b[2Jc\td") == "INFO it says: a\\nINFO b\\r\\x1b[2Jc\td"


def test_tracebacks_are_read_line_by_line():
    try:
        raise ValueError("a")
    except ValueError:
        lines = logged("x", sys.exc_info()).splitlines()
    assert (lines[0], lines[1], lines[-1]) == ("INFO x", "Traceback (most recent call last):", "ValueError: a")
