"""The health of the app and of what it needs."""

import time
from collections.abc import Callable
from typing import Any

import psutil
import redis
from flask import Blueprint, current_app, jsonify
from flask.typing import ResponseReturnValue
from sqlalchemy import text

from .views import db

health_bp = Blueprint("health", __name__, url_prefix="/health")


def check_database() -> None:
    """Ask the database something."""
    db.session.execute(text("SELECT 1"))


def check_redis() -> None:
    """Ping redis."""
    with redis.Redis.from_url(current_app.config["REDIS_URL"], socket_connect_timeout=1, socket_timeout=1) as client:
        client.ping()


def check_disk_space() -> None:
    """Fail if the disk is nearly full."""
    used = psutil.disk_usage("/").percent
    if used > current_app.config["MAX_DISK_PERCENT"]:
        raise RuntimeError(f"{used} % of the disk is used")


def check_memory() -> None:
    """Fail if the memory is nearly used up."""
    used = psutil.virtual_memory().percent
    if used > current_app.config["MAX_MEMORY_PERCENT"]:
        raise RuntimeError(f"{used} % of the memory is used")


CHECKS = {"database": check_database, "redis": check_redis, "disk_space": check_disk_space, "memory": check_memory}


def run(check: Callable[[], None]) -> dict[str, Any]:
    """Run one check, and time it."""
    start = time.perf_counter()
    try:
        check()
    except Exception as error:
        return {"status": "unhealthy", "error": str(error)}
    return {"status": "healthy", "response_time_ms": round((time.perf_counter() - start) * 1000, 2)}


@health_bp.get("")
def health() -> ResponseReturnValue:
    """Answer with every check."""
    checks = {name: run(check) for name, check in CHECKS.items()}
    healthy = all(check["status"] == "healthy" for check in checks.values())
    status = "healthy" if healthy else "unhealthy"
    return jsonify(status=status, timestamp=int(time.time()), checks=checks), 200 if healthy else 503


@health_bp.get("/ready")
def ready() -> ResponseReturnValue:
    """Say that the app takes requests."""
    return jsonify(status="ready")


@health_bp.get("/live")
def live() -> ResponseReturnValue:
    """Say that the process runs."""
    return jsonify(status="alive")
