"""The mail to the admins, and the log file."""

import logging
from logging.handlers import RotatingFileHandler, SMTPHandler
from pathlib import Path

from flask import Flask
from flask.logging import default_handler


def init_app(app: Flask) -> None:
    """Mail errors and write the log file, except in debug mode."""
    # Apps of one name share a logger: an earlier app's handlers make way.
    remove_handlers(app, [handler for handler in app.logger.handlers if handler is not default_handler])
    handlers: list[logging.Handler] = []
    app.extensions["log_handlers"] = handlers
    if app.debug:
        return
    if app.config["MAIL_SERVER"]:
        handlers.append(mail_handler(app))
    handlers.append(file_handler(app))
    for handler in handlers:
        app.logger.addHandler(handler)
    app.logger.setLevel(logging.INFO)
    app.logger.info("Microblog starts")


def mail_handler(app: Flask) -> SMTPHandler:
    """Mail each error with its traceback."""
    config = app.config
    credentials = (config["MAIL_USERNAME"], config["MAIL_PASSWORD"]) if config["MAIL_USERNAME"] else None
    handler = SMTPHandler(
        mailhost=(config["MAIL_SERVER"], config["MAIL_PORT"]),
        fromaddr=config["MAIL_USERNAME"] or f"no-reply@{config['MAIL_SERVER']}",
        toaddrs=config["MAIL_ADMINS"],
        subject="Microblog: an error",
        credentials=credentials,
        secure=() if config["MAIL_USE_TLS"] else None,
    )
    handler.setLevel(logging.ERROR)
    return handler


def file_handler(app: Flask) -> RotatingFileHandler:
    """Write a file that rotates."""
    directory = Path(app.config["LOG_DIR"])
    directory.mkdir(parents=True, exist_ok=True)
    handler = RotatingFileHandler(directory / "microblog.log", maxBytes=102_400, backupCount=10, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s: %(message)s [in %(pathname)s:%(lineno)d]"))
    handler.setLevel(logging.INFO)
    return handler


def remove_handlers(app: Flask, handlers: list[logging.Handler]) -> None:
    """Take handlers off the app's logger and close them."""
    for handler in handlers:
        app.logger.removeHandler(handler)
        handler.close()


def close(app: Flask) -> None:
    """Close the log file."""
    remove_handlers(app, app.extensions["log_handlers"])
