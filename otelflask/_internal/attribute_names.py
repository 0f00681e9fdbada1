"""The names of attributes that are otelflask's own. `docs/telemetry.md` has them, with the comments here.

All others follow OpenTelemetry's semantic conventions.
"""

from __future__ import annotations

#: The request's id: the caller's, or a new one.
REQUEST_ID = "http.request.id"
#: The group of an error report: 16 hex digits.
ERROR_FINGERPRINT = "otelflask.error.fingerprint"
#: The group's title, such as `RuntimeError in views.order ← return order(7)`.
ERROR_GROUP = "otelflask.error.group"
#: How many errors of the group a count record counts.
ERROR_COUNT = "otelflask.error.count"
#: Whether the app handled the error.
ERROR_HANDLED = "otelflask.error.handled"
#: Whether the error has a report: a process sends `reports_per_minute` of a group.
ERROR_REPORTED = "otelflask.error.reported"
#: The code of the `AppError` that was the answer.
ERROR_CODE = "otelflask.error.code"
#: The message of the `AppError` that was the answer.
ERROR_MESSAGE = "otelflask.error.message"
#: JSON: the app's frames, innermost last, with source and masked local variables.
ERROR_FRAMES = "otelflask.error.frames"
#: JSON: log lines and other breadcrumbs before the error.
ERROR_BREADCRUMBS = "otelflask.error.breadcrumbs"
#: JSON: the tags of sentry-sdk.
ERROR_TAGS = "otelflask.error.tags"
#: JSON: values of `sentry_sdk.set_extra` and of scopes.
ERROR_EXTRA = "otelflask.error.extra"
#: The id of sentry-sdk's event, for an app that also sends to a Sentry.
ERROR_EVENT_ID = "otelflask.error.event_id"
#: A tag of sentry-sdk, by its name.
TAG_PREFIX = "otelflask.tag."
#: The number of statements: of a request, or of a repeated statement in it.
QUERY_COUNT = "otelflask.db.query.count"
#: The time of these statements in the driver, or of a slow one, in seconds.
QUERY_DURATION = "otelflask.db.query.duration"
#: The plan of a slow statement (`slow_query_plan`).
QUERY_PLAN = "otelflask.db.query.plan"
#: Why there is no plan.
QUERY_PLAN_MISSING = "otelflask.db.query.plan_missing"
#: The relationship of SQLAlchemy that a repeated statement loads, such as `Product.reviews`.
RELATIONSHIP = "otelflask.db.relationship"
#: The id of the request's stored profile.
PROFILE_ID = "otelflask.profile.id"
#: What became of a mail: `sent`, `failed` or `queue_full`.
OUTCOME = "otelflask.outcome"
#: The name of a health check.
HEALTH_NAME = "otelflask.health.name"
#: The name of a circuit breaker.
BREAKER_NAME = "otelflask.circuit_breaker.name"
#: The state: `closed`, `open` or `half_open`.
BREAKER_STATE = "otelflask.circuit_breaker.state"
#: The state before.
BREAKER_PREVIOUS_STATE = "otelflask.circuit_breaker.previous_state"
#: The outcome of a call by a circuit breaker.
BREAKER_OUTCOME = "otelflask.circuit_breaker.outcome"
#: The code with which a WebSocket was closed (RFC 6455, section 7.4); 1006 where nobody sent one.
CLOSE_CODE = "otelflask.websocket.close.code"
#: The text that came with the code.
CLOSE_REASON = "otelflask.websocket.close.reason"
#: Who closed the WebSocket: `client`, `server` or `none`.
CLOSE_INITIATOR = "otelflask.websocket.close.initiator"
#: The duration of a WebSocket in seconds.
WEBSOCKET_DURATION = "otelflask.websocket.duration"
#: The number of messages that a WebSocket has received.
MESSAGES_RECEIVED = "otelflask.websocket.messages.received"
#: The number of messages that a WebSocket has sent.
MESSAGES_SENT = "otelflask.websocket.messages.sent"
#: The name of an event of Socket.IO for which the app has a handler.
EVENT = "otelflask.socketio.event"
#: The namespace of an event of Socket.IO.
NAMESPACE = "otelflask.socketio.namespace"
#: The name of a job or command, such as `flask recount`.
JOB_NAME = "otelflask.job.name"
#: The id of a scheduled job.
JOB_ID = "otelflask.job.id"
#: What runs it: `command`, `celery`, `rq` or `apscheduler`.
JOB_SYSTEM = "otelflask.job.system"
#: How a run has ended: `success`, `failure`, `retry`, `ignored`, `rejected`, `revoked`, `lost` or `missed`.
JOB_RESULT = "otelflask.job.result"
#: The number of runs of the same job before this one.
JOB_RETRIES = "otelflask.job.retries"
#: The duration of its run in seconds.
JOB_DURATION = "otelflask.job.duration"
#: The time between when a job was due and its begin, in seconds.
JOB_WAITED = "otelflask.job.queue.duration"
#: The time in which users were active: `5m` or `15m`.
WINDOW = "otelflask.window"
