"""``/metrics`` for Prometheus: what this process counted, and how the link to the agents-server stands.

For a scraper on the same machine, or a person of the staff; anybody else learns as much as from an absent page.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address
from typing import Final

from django.http import HttpRequest, HttpResponse, HttpResponseNotFound
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from apps.agents.events import LinkState
from apps.agents.selectors.link import link_figures
from apps.core.addresses import is_address
from apps.projects.aio import in_thread

FORWARDED: Final = ("X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Real-IP", "Forwarded", "Via")
"""A request that carries one came through a proxy: its nearest address says nothing about who asks."""


class LinkCollector(Collector):
    """The link's figures, read from the database at each scrape: they are one for all processes."""

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """Name no metric beforehand: the registry would read the database while the program starts."""
        return iter(())

    def collect(self) -> Iterator[GaugeMetricFamily]:
        figures = link_figures()
        state = GaugeMetricFamily("autocode_link_state", "1 for the state in which the link is.", labels=["state"])
        for known in LinkState:
            state.add_metric([known.value], float(figures.state == known.value))
        yield state
        for name, text, value in (
            ("queued", "Promises to the agents-server that were not sent yet.", figures.queued),
            ("sent", "Promises that were sent and not acknowledged yet.", figures.sent),
            ("oldest_seconds", "Age of the oldest promise that waits.", figures.oldest_s),
            (
                "dead_letters",
                "Messages that could not be carried out and that nobody looked at yet.",
                figures.dead_letters,
            ),
        ):
            yield GaugeMetricFamily(f"autocode_link_{name}", text, value=float(value))


async def metrics(request: HttpRequest) -> HttpResponse:
    """Answer with the figures in Prometheus' text form."""
    if request.method != "GET" or not (_is_near(request) or await _is_staff(request)):
        return HttpResponseNotFound()
    body = await in_thread(generate_latest, REGISTRY)
    return HttpResponse(body, content_type=CONTENT_TYPE_LATEST, headers={"Cache-Control": "no-store"})


def _is_near(request: HttpRequest) -> bool:
    """Tell whether a program of this machine asks by address: a proxy passes on the site's name."""
    if not is_address(request.META.get("HTTP_HOST", "")) or any(name in request.headers for name in FORWARDED):
        return False
    try:
        return ip_address(request.META.get("REMOTE_ADDR", "")).is_loopback
    except ValueError:
        return False


async def _is_staff(request: HttpRequest) -> bool:
    user = await request.auser()
    return user.is_active and user.is_staff


def register_collectors() -> None:
    """Add the link's figures to the process's registry. Called once, when the app is ready."""
    REGISTRY.register(LinkCollector())
