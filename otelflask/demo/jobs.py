"""The shop's jobs, run by a worker of Celery: a mail for each order, and a delivery on a schedule.

``celery --app otelflask.demo.worker:queue worker --beat``
"""

from __future__ import annotations

import logging
import os
import tempfile
import time
from typing import Any

from celery import Celery
from flask import Flask, current_app
from kombu.exceptions import OperationalError
from sqlalchemy import update

from otelflask.demo.models import STOCK, Product

logger = logging.getLogger("otelflask.demo.jobs")

#: The mail server is busy for one order in so many, and the address of one in so many is wrong.
BUSY_EVERY, WRONG_EVERY = 6, 25
#: Seconds that a mail takes, and between two deliveries.
MAIL_S, DELIVERY_S = 0.05, 20.0


class MailServerBusyError(Exception):
    """The mail server takes no mail at the moment."""


def _options(broker: str) -> dict[str, Any]:
    if not broker.startswith("filesystem:"):
        # A purchase does not wait for its mail.
        return {"socket_timeout": 0.5, "socket_connect_timeout": 0.5}
    folder = os.environ.get("SHOP_BROKER_FOLDER", tempfile.gettempdir())
    return {"data_folder_in": folder, "data_folder_out": folder, "control_folder": folder}


#: Where jobs wait; empty for none, and no jobs.
BROKER = os.environ.get("SHOP_BROKER_URL", "")
queue = Celery("shop", broker=BROKER or "memory://")
queue.conf.update(
    broker_transport_options=_options(BROKER),
    broker_connection_retry_on_startup=True,
    task_default_queue="shop",
    task_ignore_result=True,
    beat_schedule={"deliver": {"task": "shop.deliver", "schedule": DELIVERY_S}},
    beat_schedule_filename=os.path.join(tempfile.gettempdir(), f"otelflask-shop-{os.getuid()}.beat"),
)


def send_confirmation(order_id: int) -> None:
    """Have a mail sent for an order, where there is a worker. The order does not depend on it."""
    if not BROKER:
        return
    try:
        confirm.apply_async((order_id,), retry=False)
    except OperationalError as error:
        logger.warning("no mail for order %d: %s", order_id, error)


@queue.task(name="shop.confirm", bind=True, max_retries=3, default_retry_delay=2)  # type: ignore[untyped-decorator]
def confirm(task: Any, order_id: int) -> None:
    """Send the mail for an order."""
    if order_id % BUSY_EVERY == 0 and not task.request.retries:
        raise task.retry(exc=MailServerBusyError("try again later"))
    time.sleep(MAIL_S)
    if order_id % WRONG_EVERY == 0:
        raise LookupError(f"order {order_id} has no address")
    logger.info("sent the mail for order %d", order_id)


def add(app: Flask) -> None:
    """Add the command ``flask --app otelflask.demo.shop:create_app deliver``."""
    app.cli.command("deliver")(deliver.run)


@queue.task(name="shop.deliver")  # type: ignore[untyped-decorator]
def deliver() -> None:
    """Fill up what is nearly sold out."""
    session = current_app.extensions["shop"]()
    filled: Any = session.execute(update(Product).where(Product.stock < STOCK // 2).values(stock=STOCK))
    session.commit()
    logger.info("filled up %d products", filled.rowcount)
