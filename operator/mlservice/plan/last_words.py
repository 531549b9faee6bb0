"""What a container said before it ended, in words for a status message.

The runtime image leaves one line of JSON (runtime-image/mlservice_runtime/failures.py, docs/startup.md) with a reason,
plain words and the line of vLLM's output that shows it. Any other image leaves what it likes.
"""

import json


def last_words(message: str) -> str:
    """Return the runtime's reason, words and quoted line as a sentence; any other message as it is."""
    try:
        told = json.loads(message)
        reason, words, line = (str(told[key]).strip() for key in ("reason", "message", "line"))
    except (ValueError, KeyError, TypeError):
        return message
    quoted = f". vLLM's line: {line}" if line else ""
    return f"{reason}: {words}{quoted}"
