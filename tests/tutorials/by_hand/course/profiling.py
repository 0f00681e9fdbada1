"""Profiles: of every request by configuration, of one by ?profile=."""

import cProfile
import io
import pstats
from pathlib import Path

from flask import Flask, Response, g, request
from werkzeug.middleware.profiler import ProfilerMiddleware


def init_app(app: Flask) -> None:
    """Wrap the app in the profiler where configured, and add the hooks for ?profile=."""
    if app.config["PROFILING_ENABLED"]:
        directory = Path(app.config["PROFILE_DIR"])
        directory.mkdir(parents=True, exist_ok=True)
        app.wsgi_app = ProfilerMiddleware(  # type: ignore[method-assign]
            app.wsgi_app, restrictions=[30], profile_dir=str(directory)
        )
    app.before_request(start_profile)
    app.after_request(add_profile)


def start_profile() -> None:
    """Start a profile if the request asks for one."""
    if "profile" not in request.args:
        return
    profiler = cProfile.Profile()
    try:
        profiler.enable()
    except ValueError:
        # From Python 3.12 on only one profiler is active at a time.
        return
    g.profiler = profiler


def add_profile(response: Response) -> Response:
    """Put the most expensive functions into a header."""
    if "profiler" in g:
        g.profiler.disable()
        table = io.StringIO()
        pstats.Stats(g.profiler, stream=table).strip_dirs().sort_stats("cumulative").print_stats(20)
        # A header has one line.
        response.headers["X-Profile-Stats"] = " | ".join(table.getvalue().split("\n"))
    return response
