"""The metrics page under the names of many tutorials."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import flask
import pytest
import sqlalchemy as sa
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy.pool import StaticPool
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.test import Client

import otelflask
from otelflask.testing import CapturedTelemetry


@pytest.fixture
def make(telemetry: CapturedTelemetry, tmp_path: Path) -> Any:
    def made(**settings: Any) -> flask.Flask:
        app = flask.Flask("shop")
        engine = sa.create_engine("sqlite://", poolclass=StaticPool)
        app.extensions["engine"] = engine

        @app.route("/users/<int:number>", methods=["GET", "POST"])
        def user(number: int) -> str:
            flask.g.user_id = number
            return "user"

        @app.get("/statements")
        def statements() -> str:
            with engine.begin() as connection:
                for text in ("CREATE TABLE t (a INT)", "INSERT INTO t VALUES (1)", "UPDATE t SET a = 2"):
                    connection.execute(sa.text(text))
                for _ in range(2):
                    connection.execute(sa.text("SELECT a FROM t")).all()
                connection.execute(sa.text("DELETE FROM t"))
            return "statements"

        options = {"metrics_path": "/metrics", "state_dir": str(tmp_path), "environment": "development"}
        otelflask.init(app, runtime_metrics=False, **options, **telemetry.providers, **settings)
        return app

    return made


def _samples(app: flask.Flask) -> dict[tuple[str, tuple[str, ...]], float]:
    """The samples of the page with such names: name, values of labels in the order of their names → value."""
    text = app.test_client().get("/metrics").text
    return {
        (sample.name, tuple(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name.startswith(("flask_", "db_query_"))
    }


def test_without_the_setting_there_are_none(make: Any) -> None:
    app = make()
    app.test_client().get("/users/1")
    assert _samples(app) == {}


def test_requests_have_method_endpoint_and_status(make: Any) -> None:
    app = make(metrics_flask_names=True)
    client = app.test_client()
    for path in ("/users/1", "/users/2", "/users/3"):
        client.get(path)
    client.post("/users/1")
    client.get("/nowhere")
    found = _samples(app)
    assert found["flask_requests_total", ("user", "GET", "200")] == 3
    assert found["flask_requests_total", ("user", "POST", "200")] == 1
    assert found["flask_requests_total", ("unknown", "GET", "404")] == 1
    assert found["flask_request_duration_seconds_count", ("user", "GET")] == 3
    assert found["flask_request_duration_seconds_sum", ("user", "GET")] > 0
    assert found["flask_request_duration_seconds_bucket", ("user", "+Inf", "GET")] == 3
    assert found["flask_active_users", ()] == 3


def test_a_mounted_app_has_its_endpoints(make: Any) -> None:
    app = make(metrics_flask_names=True)
    client = Client(DispatcherMiddleware(flask.Flask("root"), {"/api/shop": app}))
    assert client.get("/api/shop/users/1").status_code == 200
    assert _samples(app)["flask_requests_total", ("user", "GET", "200")] == 1


def test_statements_have_their_operation(make: Any) -> None:
    app = make(metrics_flask_names=True)
    assert app.test_client().get("/statements").status_code == 200
    found = _samples(app)
    counts = {labels[0]: value for (name, labels), value in found.items() if name == "db_query_count_total"}
    # A CREATE is another one. A COMMIT is no statement of a cursor.
    assert counts == {"SELECT": 2, "INSERT": 1, "UPDATE": 1, "DELETE": 1, "OTHER": 1}
    assert found["db_query_duration_count", ()] == 6
    app.extensions["engine"].dispose()


def test_an_app_without_users_and_statements_has_zeros(make: Any) -> None:
    found = _samples(make(metrics_flask_names=True))
    assert found == {("flask_active_users", ()): 0}
