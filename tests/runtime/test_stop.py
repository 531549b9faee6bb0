"""A stop signal ends the server within its budget, whatever its engine does. (Under load: tests/images.)"""

import os
import signal
from contextlib import suppress
from pathlib import Path

from serving import MODEL, serving
from streams import Streams


def test_a_server_whose_engine_hangs_ends(tmp_path: Path) -> None:
    with serving(tmp_path, "--shutdown-timeout=3") as server:
        with Streams(server.url, MODEL, 4, tokens=(3000, 3500)) as streams:
            streams.ending = True
            below = server.children()
            for pid in below:
                os.kill(pid, signal.SIGSTOP)
            server.process.send_signal(signal.SIGTERM)
            # 3 s for what runs and 10 s for vLLM's end, on a quiet machine. Bare vLLM waits for ever.
            server.process.wait(60)
            for pid in below:  # in a container its end would be theirs
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)
        assert streams.cut.total() == 4
