"""OpenTelemetry's API and SDK: the modules that read the time by a `time_ns` of their own.

Sources: the modules themselves.
"""

#: For spans, log records and measurements.
MODULES_THAT_READ_THE_TIME = (
    "opentelemetry.sdk.trace",
    "opentelemetry._logs._internal",
    "opentelemetry.sdk._logs._internal",
    "opentelemetry.sdk.metrics._internal.instrument",
    "opentelemetry.sdk.metrics._internal.metric_reader_storage",
    "opentelemetry.sdk.metrics._internal._view_instrument_match",
)
