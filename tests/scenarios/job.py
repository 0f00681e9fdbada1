"""A job in a process of its own: it logs, makes a span, counts, and ends without a flush."""

from __future__ import annotations

import logging
import sys

from flask import Flask
from opentelemetry import metrics, trace

import otelflask


def main(mode: str) -> None:
    """Do the work."""
    app = Flask("shop-job")
    if mode != "zero":
        otelflask.init(app)
    logging.getLogger().setLevel(logging.INFO)
    logger = logging.getLogger("shop.job")
    with trace.get_tracer("shop.job").start_as_current_span("nightly"):
        logger.info("the job runs")
        otelflask.event("job.ran", lamps=3)
    metrics.get_meter("shop.job").create_counter("shop.jobs").add(1)
    with app.app_context():
        logger.error("the job is over, with nothing to do")
    print("done")


if __name__ == "__main__":
    main(sys.argv[1])
