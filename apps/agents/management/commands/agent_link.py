import asyncio
import signal
from typing import Any

from django.core.management.base import BaseCommand

from apps.agents.link.handler import AgentCommunicationHandler
from apps.projects import aio


class Command(BaseCommand):
    help = "Holds the link to the agents-server until SIGTERM. Any number may run; one at a time speaks."

    def handle(self, *args: Any, **options: Any) -> None:
        asyncio.run(_hold())
        aio.shut_down()


async def _hold() -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, stop.set)
    await AgentCommunicationHandler().run(stop)
