"""The log on stderr that `REBYTE_LOG` asks for."""

from __future__ import annotations

import logging
import os
import sys

from rebyte_async._wire.redact import without_secrets
from rebyte_async.errors import ConfigurationError

VARIABLE = "REBYTE_LOG"
LEVELS = ("debug", "info", "warning", "error")
_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


def set_up_logging() -> None:
    """Have the package's log written to stderr, from the level that the environment names; without one, do nothing.

    Raises:
        ConfigurationError: It names no level.
    """
    level = os.environ.get(VARIABLE, "").strip().lower()
    if not level:
        return
    if level not in LEVELS:
        raise ConfigurationError(f"{VARIABLE} must be one of {', '.join(LEVELS)}, not {level!r:.80}")
    logger = logging.getLogger("rebyte_async")
    logger.setLevel(level.upper())
    if not any(isinstance(handler, _StderrHandler) for handler in logger.handlers):
        logger.addHandler(_StderrHandler())


class _StderrHandler(logging.Handler):
    """Writes what no other handler writes, so that no line comes twice where the application logs as well.

    It looks when there is something to write: an application may set up its log after it has made its client.
    """

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(_RedactingFormatter(_FORMAT))

    def emit(self, record: logging.LogRecord) -> None:
        if sys.stderr is None or self._is_written_by_another(record):
            return
        try:
            sys.stderr.write(self.format(record) + "\n")
            sys.stderr.flush()
        except (OSError, ValueError):  # a full disk, or a closed stream: a log is no reason to fail
            pass

    def _is_written_by_another(self, record: logging.LogRecord) -> bool:
        logger: logging.Logger | None = logging.getLogger(record.name)
        while logger is not None:
            for handler in logger.handlers:
                if not isinstance(handler, _StderrHandler | logging.NullHandler) and record.levelno >= handler.level:
                    return True
            logger = logger.parent if logger.propagate else None
        return False


class _RedactingFormatter(logging.Formatter):
    """Leaves out keys and the queries of URLs also from what others have put into a record, such as a traceback."""

    def format(self, record: logging.LogRecord) -> str:
        return without_secrets(super().format(record))
