"""The ways in which a view may let other threads work."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import flask

Work = Callable[[], None]
log = logging.getLogger("shop.threads")


def in_thread(work: Work) -> None:
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


def in_thread_with_its_own_run(work: Work) -> None:
    class Worker(threading.Thread):
        def run(self) -> None:
            work()

    thread = Worker()
    thread.start()
    thread.join()


def in_timer(work: Work) -> None:
    timer = threading.Timer(0, work)
    timer.start()
    timer.join()


def in_thread_of_a_thread(work: Work) -> None:
    in_thread(lambda: in_thread(work))


def in_thread_with_a_copied_context(work: Work) -> None:
    in_thread(flask.copy_current_request_context(work))


def in_executor(work: Work) -> None:
    with ThreadPoolExecutor(1) as executor:
        executor.submit(work).result()


def in_executor_that_maps(work: Work) -> None:
    with ThreadPoolExecutor(1) as executor:
        list(executor.map(lambda _: work(), [1]))


async def to_thread(work: Work) -> None:
    await asyncio.to_thread(work)


async def in_loops_executor(work: Work) -> None:
    await asyncio.get_running_loop().run_in_executor(None, work)


async def in_async_view(work: Work) -> None:
    work()


WAYS: list[Callable[[Work], Any]] = [
    in_thread,
    in_thread_with_its_own_run,
    in_timer,
    in_thread_of_a_thread,
    in_thread_with_a_copied_context,
    in_executor,
    in_executor_that_maps,
    to_thread,
    in_loops_executor,
    in_async_view,
]


def add_view(app: flask.Flask, way: Callable[[Work], Any], work: Work) -> None:
    if asyncio.iscoroutinefunction(way):

        async def view(number: int) -> str:
            flask.g.user_id = "ada"
            await way(work)
            return "done"

        app.get("/orders/<int:number>")(view)
        return

    @app.get("/orders/<int:number>")
    def plain(number: int) -> str:
        flask.g.user_id = "ada"
        way(work)
        return "done"
