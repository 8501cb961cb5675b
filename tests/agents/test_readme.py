"""What the page promises is so: its tables are current and its example works."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from apps.agents.link.handler import AgentCommunicationHandler
from apps.agents.link.reference import README, renewed
from apps.agents.models import DeadLetter, Feedback, Run
from apps.agents.services.chat import ChatService
from apps.agents.services.feedback import FeedbackService
from apps.projects.models import Message
from tests.agents.conftest import FAST, db
from tests.support.factories import owner_of
from tests.support.services import free_port

EXAMPLE = Path(__file__).resolve().parents[2] / "apps/agents/examples/minimal_server.py"


def test_the_tables_are_current():
    page = README.read_text(encoding="utf-8")
    assert renewed(page) == page, "run: python -m apps.agents.link.reference"


@pytest.mark.processes
@pytest.mark.django_db(transaction=True)
async def test_the_minimal_example_answers_a_person(project):
    port = free_port()
    process = await asyncio.create_subprocess_exec(sys.executable, EXAMPLE, str(port))
    stop = asyncio.Event()
    try:
        url = f"ws://127.0.0.1:{port}/"  # the link tries until it listens
        link = asyncio.create_task(AgentCommunicationHandler(url=url, acks=True, options=FAST).run(stop))
        me = await db(owner_of, project)
        await db(lambda: ChatService(me).send(guid=project.guid, message="hello"))
        await db(lambda: FeedbackService(me).send(guid=project.guid, content="shorter"))
        async with asyncio.timeout(15):
            while not await db(lambda: (  # noqa: ASYNC110 - rows of another thread, not an event
                Run.objects.filter(status="completed").exists() and Feedback.objects.filter(state="applied").exists()
            )):  # fmt: skip
                await asyncio.sleep(0.05)
        stop.set()
        await link
    finally:
        process.terminate()
        await process.wait()
    answer = await db(lambda: Message.objects.get(source="message"))
    assert "hello" in answer.content
    assert await db(DeadLetter.objects.count) == 0
