"""Structured logs: events with fields, JSON unless standard error is a terminal."""

import logging
import sys
from typing import cast

import structlog
import structlog.tracebacks
from structlog.typing import FilteringBoundLogger

# Without the local variables of each frame: they may hold a token or a configuration.
_TRACEBACKS = structlog.processors.ExceptionRenderer(structlog.tracebacks.ExceptionDictTransformer(show_locals=False))
LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


def configure(service: str, level: str) -> None:
    """Send every log line, those of libraries included, to standard error with the service's name bound.

    Raises:
        ValueError: `level` is none of debug, info, warning, error.
    """
    if level.lower() not in LEVELS:
        raise ValueError(f"FLOWGATE_LOG_LEVEL is {level!r}; use one of {', '.join(LEVELS)}")
    number = LEVELS[level.lower()]
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    terminal = sys.stderr.isatty()
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
        if terminal
        else structlog.processors.JSONRenderer()
    )
    errors: list[structlog.typing.Processor] = [] if terminal else [_TRACEBACKS]
    structlog.configure(
        processors=[*shared, *errors, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=[*errors, _drop_meta, renderer])
    )
    logging.basicConfig(handlers=[handler], level=max(number, logging.WARNING), force=True)
    structlog.contextvars.bind_contextvars(service=service)


def _drop_meta(logger: object, name: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    return structlog.stdlib.ProcessorFormatter.remove_processors_meta(logger, name, event)


def get_log(**fields: object) -> FilteringBoundLogger:
    """A logger with these fields bound."""
    return cast(FilteringBoundLogger, structlog.get_logger(**fields))
