import asyncio, time, pytest, msgspec
from apps.projects.models import Message
from tests.agents.conftest import *
from tests.agents.conftest import db, linked, FAST
from tests.support.factories import a_project
@pytest.mark.django_db(transaction=True)
async def test_speed(server, project):
    others=[await db(a_project) for _ in range(9)]
    ps=[project,*others]
    async with linked(server):
        await server.connected()
        await asyncio.sleep(.3)
        for n,targets in (("one",[project]),("ten",ps)):
            news=[server.message("agent_message",targets[i%len(targets)].guid,{"agentId":"x","content":"a"}) for i in range(2000)]
            t=time.perf_counter()
            for i in range(0,2000,50): await server.send(*news[i:i+50])
            for one in news: await server.answer(one["id"])
            print(n,"projects:",round(2000/(time.perf_counter()-t)),"msg/s")
