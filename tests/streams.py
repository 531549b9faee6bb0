"""Streams of random length, kept up while something happens to the pods that answer them; what came of each."""

import asyncio
import json
import random
import threading
import time
import urllib.parse
from collections import Counter
from typing import Self

import aiohttp

TOKENS = (20, 300)
PAUSE_SECONDS = 0.2


class Streams:
    """`count` streams at a time at a URL, each followed by the next until the context ends; then the last ones finish.

    A stream is whole when it ends with [DONE] and has as many tokens as were asked for. `cut` are those that began
    (status 200) and are not; `refused` those that did not begin. Both hold what was seen instead, counted;
    `last_problem` is when the last of them ended (time.monotonic).
    """

    def __init__(self, url: str, model: str, count: int, tokens: tuple[int, int] = TOKENS) -> None:
        parts = urllib.parse.urlsplit(url)
        # By address with the Host header: Python resolves *.localhost on some systems only.
        local = (parts.hostname or "").endswith(".localhost")
        self.url = f"http://{f'127.0.0.1:{parts.port or 80}' if local else parts.netloc}/v1/completions"
        self.host, self.model, self.count, self.tokens = parts.netloc, model, count, tokens
        self.begun = self.whole = 0
        self.last_problem = 0.0
        self.cut: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.ending = False
        self.failure: BaseException | None = None
        self.thread = threading.Thread(target=self.run)

    def __enter__(self) -> Self:
        self.thread.start()
        until = time.monotonic() + 60
        while self.begun < self.count and time.monotonic() < until:
            time.sleep(0.1)
        if self.begun < self.count:
            self.ending = True
            raise AssertionError(f"{self.begun} of {self.count} streams began: {self}, {self.refused}")
        return self

    def __exit__(self, *_: object) -> None:
        self.ending = True
        self.thread.join()
        if self.failure:
            raise self.failure

    def run(self) -> None:
        try:
            asyncio.run(self.all())
        except BaseException as error:
            self.failure = error

    def __str__(self) -> str:
        total = self.whole + self.cut.total() + self.refused.total()
        parts = [f"{self.whole} of {total} whole"]
        parts += [f"{self.cut.total()} cut"] if self.cut else []
        parts += [f"{self.refused.total()} refused"] if self.refused else []
        return ", ".join(parts)

    async def all(self) -> None:
        async with aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=2),
            timeout=aiohttp.ClientTimeout(total=None, sock_read=300),
        ) as session:
            await asyncio.gather(*(self.one_after_the_other(session, seed) for seed in range(self.count)))

    async def one_after_the_other(self, session: aiohttp.ClientSession, seed: int) -> None:
        draw = random.Random(seed)
        while not self.ending:
            await self.stream(session, draw.randint(*self.tokens))

    async def stream(self, session: aiohttp.ClientSession, tokens: int) -> None:
        body = {"model": self.model, "prompt": "a", "max_tokens": tokens, "ignore_eos": True, "stream": True}
        body |= {"stream_options": {"include_usage": True}}
        begun = False
        try:
            async with session.post(self.url, json=body, headers={"Host": self.host}) as answer:
                if answer.status != 200:
                    raise aiohttp.ClientError(f"status {answer.status}")
                begun = True
                self.begun += 1
                problem = await self.problem(answer, tokens)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            problem = str(error) or type(error).__name__
        if not problem:
            self.whole += 1
        else:
            (self.cut if begun else self.refused)[problem] += 1
            self.last_problem = time.monotonic()
            await asyncio.sleep(PAUSE_SECONDS)

    async def problem(self, answer: aiohttp.ClientResponse, tokens: int) -> str:
        """Read a stream to its end; empty when it is whole."""
        count, reason, done = 0, None, False
        async for line in answer.content:
            data = line.removeprefix(b"data: ").strip()
            if data == b"[DONE]":
                done = True
            elif data:
                try:
                    event = json.loads(data)
                except ValueError:
                    return f"a line that is no event: {data[:80].decode(errors='replace')}"
                if "error" in event:
                    return f"error event: {event['error'].get('message', event['error'])}"
                count = (event.get("usage") or {"completion_tokens": count})["completion_tokens"]
                reason = next((c["finish_reason"] for c in event["choices"] if c["finish_reason"]), reason)
        if done and reason == "length" and count == tokens:
            return ""
        return f"ended {'with' if done else 'without'} [DONE], finish_reason {reason}"
