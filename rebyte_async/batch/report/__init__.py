"""The report on a batch: one page of HTML that needs no network."""

from __future__ import annotations

from rebyte_async.batch.report.page import write_report

__all__ = ["write_report"]
