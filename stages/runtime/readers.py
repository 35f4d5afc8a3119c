"""Pictures read by several processes, each asked by a thread, for machines of many cores.

Reading a small picture holds Python's global lock for an eighth to a quarter of its time, so that threads alone stop
getting faster at a few cores. A process here knows how to read a picture and nothing else, and takes 25 MB of memory
beside the pixels that it decodes. Both ends of it stand in this module:

asker (a thread of the stage)              reader (`python -m stages.runtime.readers`)
    an entry of the listing           →
                                      ←    of a large picture: how many pixels it has
    go, once there is room for them   →
                                      ←    its sha256 and shape, or why there is none; or an error to raise

Questions and answers go through pipes, pixels through memory that both share; it has no name, so nothing of it is left
when both have ended, however they did. The asker gives the room: what is decoded at a time is bounded over all readers.
"""

from __future__ import annotations

import mmap
import os
import pickle
import signal
import subprocess
import sys
import traceback
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from queue import SimpleQueue
from typing import Any

import numpy as np

from stages.errors import Refusal
from stages.method.decode import room
from stages.method.formats import MOST_ASPECT
from stages.runtime.memory import give_memory_back
from stages.runtime.prefetch import prefetch
from stages.runtime.threads import THREAD_VARIABLES
from stages.sources.entries import Entry
from stages.sources.pictures import Read, read_picture

MOST_THREADS = 2
"""With more workers than these, each has a process."""

FEWEST = 1000
"""Pictures for which processes are started: beginning takes each as long as dozens of them."""

SMALL = 2**20
"""Pixels of a picture that needs no room: decoded, it takes less than the process that does it."""

AHEAD = 4
"""Times as many pictures as workers that may be there before they are asked for, since some take longer than others."""

MOST_AHEAD = 2**28
"""Bytes of such pictures, were they square, beyond one each."""


def read_pictures(entries: Sequence[Entry], size: int, workers: int) -> Generator[Read, None, None]:
    """Yields what `read_picture` gives for each entry at `size`, in order: `prefetch`, with processes where they pay.

    What is yielded does not depend on who has read it.

    Raises:
        Refusal: of `read_picture`, when its result is asked for; and where a process has ended before its answer.
    """
    ahead = max(workers, min(AHEAD * workers, MOST_AHEAD // (3 * size * size)))
    if workers <= MOST_THREADS or len(entries) < FEWEST or not hasattr(os, "memfd_create"):
        yield from prefetch(lambda entry: read_picture(entry, size), entries, workers, ahead)
        return
    with ExitStack() as started:
        idle: SimpleQueue[_Asker] = SimpleQueue()
        for _ in range(workers):
            idle.put(started.enter_context(_Asker(size)))

        def read(entry: Entry) -> Read:
            asker = idle.get()
            try:
                return asker.read(entry)
            finally:
                idle.put(asker)

        yield from prefetch(read, entries, workers, ahead)


class _Asker:
    """A reader that is started, for one thread at a time; it ends with the context."""

    def __init__(self, size: int) -> None:
        pixels = os.memfd_create("pixels")
        # As many as the largest picture that is no reject; only what is used of them takes memory.
        os.ftruncate(pixels, 3 * size * size * MOST_ASPECT)
        self._pixels = np.frombuffer(mmap.mmap(pixels, 0), np.uint8)
        # What is imported here is imported there; one thread is enough for libraries that would start one a core.
        own = {**dict.fromkeys(THREAD_VARIABLES, "1"), "PYTHONPATH": os.pathsep.join(sys.path)}
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "stages.runtime.readers", str(pixels), str(size)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                pass_fds=[pixels],
                env=os.environ | own,
                # Ctrl-C is for the asker alone. A reader ends when its pipe does, however the asker has ended.
                process_group=0,
            )
        finally:
            os.close(pixels)

    def __enter__(self) -> _Asker:
        return self

    def __exit__(self, *_: object) -> None:
        # Closes the pipes, at which the reader ends, and waits for it.
        with self._process:
            pass

    def read(self, entry: Entry) -> Read:
        try:
            answer = self._answer_to(entry)
            if isinstance(answer, int):
                with room(answer):
                    answer = self._answer_to("go")
        except (EOFError, BrokenPipeError):
            status = self._process.wait()
            how = f"ended with status {status}"
            if status < 0:
                how = f"was killed ({signal.Signals(-status).name}), as happens where memory runs out"
            raise Refusal(
                f"the process that read {os.fsdecode(entry.path)} {how}; what is packed stays, and the same command "
                "goes on"
            ) from None
        if isinstance(answer, Exception):
            raise answer
        digest, found = answer
        return digest, found if isinstance(found, str) else self._pixels[: np.prod(found)].reshape(found).copy()

    def _answer_to(self, question: object) -> Any:
        assert self._process.stdin and self._process.stdout
        # Not through a buffer, in which what a reader that has ended did not take would lie until it is closed.
        os.write(self._process.stdin.fileno(), pickle.dumps(question))
        return pickle.load(self._process.stdout)


def main() -> None:
    """Answers until there is nobody to answer."""
    pixels, size = np.frombuffer(mmap.mmap(int(sys.argv[1]), 0), np.uint8), int(sys.argv[2])
    questions, answers = sys.stdin.buffer, os.dup(1)
    # What a library prints is no answer.
    os.dup2(2, 1)

    def tell(answer: object) -> None:
        os.write(answers, pickle.dumps(answer))

    @contextmanager
    def given_room(pixels: int) -> Iterator[None]:
        if pixels > SMALL:
            tell(pixels)
            pickle.load(questions)
        yield

    with give_memory_back(), suppress(EOFError, BrokenPipeError):
        while True:
            entry = pickle.load(questions)
            try:
                digest, found = read_picture(entry, size, given_room)
            except Exception as error:
                error.add_note(traceback.format_exc())
                tell(error)
                continue
            if not isinstance(found, str):
                pixels[: found.size] = found.ravel()
            tell((digest, found if isinstance(found, str) else found.shape))


if __name__ == "__main__":
    main()
