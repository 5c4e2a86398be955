# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""What role docker_report asks of _report.py and _page.py in its templates."""

from __future__ import annotations

import datetime
import typing as t

from ansible_collections.drydock.dockerd.plugins.plugin_utils import _page, _report


def report_refusals(page: str, host: str) -> list[str]:
    """Why a report cannot be written there."""
    return _report.refusals(page, host)


def report_questions(look: dict[str, t.Any]) -> list[str]:
    """The tcp addresses to ask of a host."""
    return _report.questions(look)


def report_data(looks: dict[str, t.Any], answers: dict[str, t.Any], title: str, last: str = "") -> dict[str, t.Any]:
    """The report as data; the last one when nothing differs that is worth telling."""
    return _report.newest(last, _report.data(looks, answers, title, datetime.datetime.now(datetime.timezone.utc)))


def report_page(data: dict[str, t.Any], templates: str) -> str:
    """The report as a page."""
    return _page.render(data, templates)


class FilterModule:
    """Filters of this collection."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """By name."""
        return {"report_refusals": report_refusals, "report_questions": report_questions, "report_data": report_data, "report_page": report_page}


__all__ = ("FilterModule", "report_data", "report_page", "report_questions", "report_refusals")
