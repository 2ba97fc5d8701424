"""Logs on standard error, one line each, as text or JSON: ours, the web server's and the durable engine's alike.

What people recorded, said or wrote never gets into a log: of an error that nobody foresaw only its type and where it
happened are told (at level debug its words, too); errors of ours and the system's are told whole. What SQL carries is
left out by `storage.database`, what stands in an address by `server.problems`.
"""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Sequence
from types import TracebackType

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from longtake.model.errors import LongtakeError

OWN = ("longtake", "uvicorn")
"""Whose logs are shown at the level that is set; those of others from warnings on."""
TOLD = (LongtakeError, OSError)
"""Errors whose words are known to hold nothing of a recording."""


def configure(level: str, log_format: str) -> None:
    """Have all logs of this process on standard error.

    Args:
        level: debug, info, warning, error or critical.
        log_format: json, text, or auto: text on a terminal, else JSON.
    """
    number = logging.getLevelNamesMapping().get(level.upper(), logging.INFO)
    is_text = sys.stderr.isatty() if log_format == "auto" else log_format == "text"
    errors = Errors(with_words=number <= logging.DEBUG)
    shared: list[Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
        errors,
    ]
    last: Processor = (
        structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), timestamp_key="at")
        if is_text
        else structlog.processors.JSONRenderer(ensure_ascii=False, default=str)
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, last],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(max(number, logging.WARNING))
    for name in OWN:
        logging.getLogger(name).setLevel(number)
    engine = logging.getLogger("dbos")
    engine.handlers = [logging.NullHandler()]  # else it makes a handler of its own
    engine.propagate = True
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=_Loggers(),
        cache_logger_on_first_use=False,
    )


class _Loggers:
    """All of ours log as `longtake`, unless they say who they are."""

    def __call__(self, *names: str) -> logging.Logger:
        return logging.getLogger(names[0] if names else "longtake")


class Errors:
    """Puts in place of an exception what may be told of it."""

    def __init__(self, *, with_words: bool) -> None:
        self._with_words = with_words

    def __call__(self, _logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        """A step of structlog's chain."""
        for name, value in event.items():
            if isinstance(value, BaseException):
                event[name] = self._line(value)
        exc_info = event.pop("exc_info", None)
        error: BaseException | None = None
        if isinstance(exc_info, BaseException):
            error = exc_info
        elif isinstance(exc_info, tuple):
            error = exc_info[1]
        elif exc_info:
            error = sys.exc_info()[1]
        if error is not None:
            event["raised"] = self._line(error)
            event["where"] = _where(error.__traceback__)
        return event

    def _line(self, error: BaseException) -> str:
        is_told = self._with_words or isinstance(error, TOLD)
        return f"{type(error).__name__}: {error}" if is_told else type(error).__name__


def _where(at: TracebackType | None) -> Sequence[str]:
    """The calls that led there, outermost first."""
    return [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(at)]
