"""OpenTelemetry's API and SDK: where they read the time of what an app makes itself, by a `time_ns` of their own.

Sources: the modules themselves.
"""

#: Of spans, log records and measurements.
MODULES_THAT_READ_THE_TIME = (
    "opentelemetry.sdk.trace",
    "opentelemetry._logs._internal",
    "opentelemetry.sdk._logs._internal",
    "opentelemetry.sdk.metrics._internal.instrument",
    "opentelemetry.sdk.metrics._internal.metric_reader_storage",
    "opentelemetry.sdk.metrics._internal._view_instrument_match",
)
