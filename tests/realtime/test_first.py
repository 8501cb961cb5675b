from tests.realtime.conftest import do
from apps.projects.services.tasks import TaskService


async def test_join_and_broadcast(manager, project, ada, browsers):
    tab = await browsers(ada)
    hello = await tab.next("authenticated")
    assert hello["data"]["username"] == "ada"
    joined = await tab.join(project)
    assert joined["recovered"] is False and joined["reason"] == "first_join", joined
    assert joined["snapshot"]["lastSeq"] == joined["lastSeq"]
    reply = await tab.command("create_task", {"title": "One"}, project)
    assert reply["type"] == "ack", reply
    (event,) = await tab.events(1)
    assert event["type"] == "task_created" and event["seq"] == joined["lastSeq"] + 1
    assert tab.received.index(reply) < tab.received.index(event)
    await do(TaskService(ada.actor).create, guid=project.guid, title="Two")
    (event,) = await tab.events(1)
    second = await browsers(ada)
    again = await second.join(project, lastSeq=joined["lastSeq"], epoch=joined["epoch"])
    assert again["recovered"] is True
    assert [e["seq"] for e in await second.events(2)] == [joined["lastSeq"] + 1, joined["lastSeq"] + 2]
    pong = await second.command("ping", {"t": 5})
    assert pong["data"]["rooms"] == {str(project.guid): joined["lastSeq"] + 2}
    await second.nothing_more()
