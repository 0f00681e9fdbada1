"""Like `test_contract`, for SQLAlchemy, sentry-sdk, Flask, pyinstrument and Python."""

from __future__ import annotations

import threading
import time

import flask
import pytest
import sentry_sdk
import sqlalchemy as sa

from otelflask._internal.compat import flask as compat_flask
from otelflask._internal.compat import (
    pyinstrument,
    python,
    sentry,
    sqlalchemy,
)
from otelflask._internal.compat.flask import current_environ, handler_search, replace_handler_search


def test_engines_pools_and_creators() -> None:
    engine = sa.create_engine("sqlite:///:memory:", poolclass=sa.QueuePool, max_overflow=3)
    assert sqlalchemy.engine_below(engine.execution_options(autocommit=True)) is engine
    assert sqlalchemy.most_overflow(engine.pool) == 3
    assert sqlalchemy.is_made_by_url(engine.pool)
    own = sa.create_engine("sqlite://", creator=lambda: None, poolclass=sa.NullPool)
    assert sqlalchemy.most_overflow(own.pool) is None
    assert not sqlalchemy.is_made_by_url(own.pool)
    engine.dispose()


def test_how_a_pool_resets_its_connections() -> None:
    assert sqlalchemy.resets_by_commit(sa.create_engine("sqlite://", pool_reset_on_return="commit").pool)
    assert not sqlalchemy.resets_by_commit(sa.create_engine("sqlite://").pool)
    assert not sqlalchemy.resets_by_commit(sa.create_engine("sqlite://", pool_reset_on_return=None).pool)
    assert sqlalchemy.relationship_of(None) is None


def test_a_scope_is_forked_when_something_reads_it_and_not_before() -> None:
    used: list[str] = []
    with sentry_sdk.isolation_scope() as outer:
        outer.set_tag("outer", "yes")
        outer.fingerprint = ["outer"]
        (isolation, current), tokens = sentry.enter_scopes(lambda: used.append("used"))
        try:
            assert list(sentry.fingerprint_of(isolation)) == ["outer"]
            assert sentry.fingerprint_of(current) == ()
            assert used == []
            sentry_sdk.set_tag("inner", "yes")
            assert used == ["used"]
            assert isolation._tags == {"outer": "yes", "inner": "yes"}
            sentry_sdk.set_user({"id": "7"})
            with sentry_sdk.new_scope() as nested:
                nested.set_tag("nested", "yes")
                assert nested._tags == {"nested": "yes"}
            assert current._tags == {}
            with pytest.raises(AttributeError):
                _ = isolation.nothing  # type: ignore[attr-defined]
        finally:
            sentry.leave_scopes(tokens)
        assert sentry_sdk.get_isolation_scope() is outer
        assert (outer._tags, outer._user) == ({"outer": "yes"}, None)


def test_what_is_written_to_a_scope_before_anything_is_read_stays() -> None:
    (isolation, _), tokens = sentry.enter_scopes(lambda: None)
    try:
        isolation.fingerprint = ["own"]
        assert list(sentry.fingerprint_of(isolation)) == ["own"]
        assert isolation._tags == {}
        assert isolation._fingerprint == ["own"]
    finally:
        sentry.leave_scopes(tokens)


def test_the_fingerprint_of_a_scope_and_what_was_not_sent() -> None:
    scope = sentry_sdk.Scope()
    assert sentry.fingerprint_of(scope) == ()
    scope.fingerprint = ["lamps"]
    assert list(sentry.fingerprint_of(scope)) == ["lamps"]
    transport = sentry_sdk.transport.HttpTransport(
        sentry_sdk.Client(dsn="http://key@127.0.0.1:9/1", default_integrations=False).options
    )
    transport._worker.start()
    held = threading.Event()
    transport._worker.submit(held.wait)
    assert sentry.unsent_events(transport) == 1
    held.set()
    transport._worker._queue.join()
    assert sentry.unsent_events(transport) == 0
    transport.kill()


@pytest.mark.parametrize("knows_the_variable", [True, False])
def test_the_current_request_and_the_search_for_a_handler(
    monkeypatch: pytest.MonkeyPatch, knows_the_variable: bool
) -> None:
    assert compat_flask._request_contexts is not None
    if not knows_the_variable:
        monkeypatch.setattr(compat_flask, "_request_contexts", None)
    app = flask.Flask("shop")
    app.register_error_handler(LookupError, lambda error: "lost")
    with app.test_request_context("/lamps"):
        environ = current_environ()
        assert environ is not None
        assert environ["PATH_INFO"] == "/lamps"
        search = handler_search(app)
        assert search(LookupError(), []) is not None
        replace_handler_search(app, lambda error, blueprints: None)
        assert handler_search(app)(LookupError(), []) is None
    assert current_environ() is None


def test_frames_and_locks() -> None:
    assert python.current_frame().f_code.co_name == "test_frames_and_locks"
    lock = threading.Lock()
    lock.acquire()
    python.free_after_fork(lock)
    assert lock.acquire(blocking=False)


def test_a_profile_of_a_bounded_number_of_samples() -> None:
    profiler = pyinstrument.BoundedProfiler(3, interval=0.0001)
    profiler.start()
    end = time.monotonic() + 0.05
    while time.monotonic() < end:
        sum(range(100))
    assert len(profiler.stop().frame_records) <= 3
