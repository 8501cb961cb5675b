"""The rooms over HTTP: the same log, cursor, rights and commands as over the socket.

Waiting holds no thread: a long poll and an event stream are woken by the room.
"""

from __future__ import annotations

from uuid import UUID

from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.views.decorators.csrf import csrf_exempt

from apps.accounts.identity import Identity
from apps.core import clock
from apps.core.errors import AutoCodeError, InvalidField, InvalidMessage, UnknownType
from apps.core.ids import is_key, new_id
from apps.projects.aio import in_thread
from apps.projects.selectors.access import Access, access_to
from apps.projects.selectors.events import read_events, read_events_before
from apps.realtime import draining
from apps.realtime.coalescing import Piece, Shape
from apps.realtime.context import Context
from apps.realtime.frames import Frame, of_piece
from apps.realtime.http import api, begun, error_response, identity_of, json_response, network, number, raw
from apps.realtime.joined import joined_data, raw_snapshot
from apps.realtime.manager import manager_here
from apps.realtime.protocol import Envelope, Refused, decode, event_frame, plain, reply_frame
from apps.realtime.room import Room
from apps.realtime.sse import stream

PAGE = 200
LONGEST_PAGE = 1_000
LONGEST_WAIT = 30


@api("GET")
async def events(request: HttpRequest, guid: UUID) -> HttpResponse:
    """Return a page of the log; with ``wait`` seconds, when there is something.

    ``after`` goes forward from a cursor, ``before`` back into history. With ``after`` the answer also has what is live.
    """
    identity = await identity_of(request)
    access = await in_thread(access_to, identity.user_id, guid)
    after = number(request, "after", least=0, most=2**53 - 1)
    before = number(request, "before", least=1, most=2**53 - 1)
    limit = number(request, "limit", least=1, most=LONGEST_PAGE) or PAGE
    if before is not None:
        if after is not None:
            raise InvalidField("Give after or before, not both.", field="before")
        return await _back(access, before, limit)
    wait = number(request, "wait", least=0, most=LONGEST_WAIT) or 0
    if wait:
        await manager_here().count_request(identity.user_id)
    epoch = request.GET.get("epoch")
    return await _forward(request, identity, access, after or 0, limit=limit, wait=wait, epoch=epoch)


async def _back(access: Access, before: int, limit: int) -> HttpResponse:
    found = await in_thread(read_events_before, access.project_id, before=before, limit=limit)
    position = access.position
    more = bool(found) and found[0].seq > position.first_seq
    return json_response(
        {
            "results": [raw(event_frame(access.guid, event)) for event in found],
            "next": None,
            "previous": _page(access.guid, before=found[0].seq, limit=limit) if more else None,
            "epoch": position.epoch,
            "lastSeq": position.last_seq,
            "recovered": True,
        }
    )


async def _forward(
    request: HttpRequest, identity: Identity, access: Access, after: int, *, limit: int, wait: int, epoch: str | None
) -> HttpResponse:
    obstacle = _obstacle(access, after, epoch)
    if obstacle is not None:
        return json_response(
            {
                "results": [],
                "next": None,
                "previous": None,
                "epoch": access.position.epoch,
                "lastSeq": access.position.last_seq,
                "recovered": False,
                "reason": obstacle,
                "live": [],
            }
        )
    async with manager_here().visit(access) as room:
        return await _page_of(request, identity, room, access, after=after, limit=limit, wait=wait)


async def _page_of(
    request: HttpRequest, identity: Identity, room: Room, access: Access, *, after: int, limit: int, wait: int
) -> HttpResponse:
    found = await in_thread(read_events, access.project_id, after=after, limit=limit)
    if not found and wait and not draining.is_draining():
        manager = manager_here()
        with manager.held.one(identity.user_id, network(request), manager.config):
            await room.moved(after, wait)
        # The login and the membership are asked again: they may have ended while we waited.
        access = await in_thread(access_to, (await identity_of(request)).user_id, access.guid)
        found = await in_thread(read_events, access.project_id, after=after, limit=limit)
    last = found[-1].seq if found else after
    top = max(access.position.last_seq, last)
    return json_response(
        {
            "results": [raw(event_frame(access.guid, event)) for event in found],
            "next": _page(access.guid, after=last, limit=limit) if last < top else None,
            "previous": None,
            "epoch": access.position.epoch,
            "lastSeq": top,
            "recovered": True,
            "live": [raw(frame) for frame in await live_frames(room)],
        }
    )


def _obstacle(access: Access, after: int, epoch: str | None) -> str | None:
    position = access.position
    if epoch and epoch != position.epoch:
        return "epoch_changed"
    if after > position.last_seq:
        return "epoch_changed"
    if after + 1 < position.first_seq:
        return "trimmed"
    return None


def _page(guid: str, **query: int) -> str:
    return f"/api/v1/projects/{guid}/events/?" + "&".join(f"{name}={value}" for name, value in query.items())


async def live_frames(room: Room) -> list[Frame]:
    """Return what a client without a socket shows besides the log: the link and who is here."""
    at = clock.to_wire(clock.now())
    frames = []
    link = await manager_here().reads.link(room.guid)
    if link is not None:
        frames.append(of_piece(room.guid, Piece("agents_link", "agents_link", Shape.LATEST, plain(link), at)))
    state = {"members": room.members.all()}
    frames.append(of_piece(room.guid, Piece("presence_state", "presence_state", Shape.LATEST, state, at)))
    return frames


@api("GET")
async def snapshot(request: HttpRequest, guid: UUID) -> HttpResponse:
    """Return the room as ``project_joined`` has it, always with a snapshot."""
    identity = await identity_of(request)
    access = await in_thread(access_to, identity.user_id, guid)
    manager = manager_here()
    await manager.count_request(identity.user_id)
    async with manager.visit(access) as room:
        plan = await manager.recoveries[access.guid].fresh(access.project_id, "first_join")
    data = joined_data(
        room,
        identity,
        role=access.role,
        read_seq=access.read_seq,
        seq=plan.seq,
        recovered=False,
        reason=plan.reason,
        link=await manager.reads.link(access.guid),
        settings=manager.config,
    )
    return json_response(data | {name: raw(value) for name, value in raw_snapshot(plan).items()})


@api("GET")
async def event_stream(request: HttpRequest, guid: UUID) -> HttpResponseBase:
    """Stream the room's events (Server-Sent Events), from ``Last-Event-ID`` (``<epoch>:<seq>``) or ``after``."""
    identity = await identity_of(request)
    access = await in_thread(access_to, identity.user_id, guid)
    epoch, after = request.GET.get("epoch"), number(request, "after", least=0, most=2**53 - 1)
    resumed = request.headers.get("Last-Event-ID", "")
    if resumed:
        epoch, _, seq = resumed.rpartition(":")
        if not seq.isascii() or not seq.isdigit() or len(seq) > 16:
            raise InvalidField("A cursor is <epoch>:<seq>.", field="Last-Event-ID")
        after = int(seq)
    manager = manager_here()
    await manager.count_request(identity.user_id)
    parts = await begun(stream(manager, identity, network(request), access, after=after, epoch=epoch))
    response = StreamingHttpResponse(parts, content_type="text/event-stream")
    response["Cache-Control"] = "no-store"
    response["X-Accel-Buffering"] = "no"  # nginx must pass pieces on at once
    return response


@api("POST")
async def commands(request: HttpRequest, guid: UUID) -> HttpResponse:
    """Carry out one command: the body is its envelope; the answer is the envelope that a socket would get."""
    identity = await identity_of(request)
    await in_thread(access_to, identity.user_id, guid)  # before the body: a stranger learns nothing from its faults
    if request.content_type != "application/json":
        return error_response(InvalidMessage("A command is application/json."), status=415)
    manager = manager_here()
    received = decode(request.body, limit=manager.config.max_frame_bytes)
    if len(received) != 1:
        raise InvalidMessage("One command for each request.")
    (envelope,) = received
    if isinstance(envelope, Refused):
        raise envelope.error
    envelope = _addressed(envelope, str(guid), request.headers.get("Idempotency-Key"))
    if not manager.router.row(envelope.type).over_http:
        raise UnknownType("This is for sockets only.", field="type")
    context = Context(envelope=envelope, command_id=envelope.id or new_id(), identity=identity, turns=manager.turns)
    try:
        row, data = await manager.router.carry_out(context)
    except AutoCodeError as error:
        return error_response(error)
    reply = reply_frame(row.reply or "ack", plain(data) or {}, guid=envelope.project_guid, reply_to=context.command_id)
    return HttpResponse(reply, content_type="application/json")


def _addressed(envelope: Envelope, guid: str, key: str | None) -> Envelope:
    """Return the envelope for the project of the address. Raises ``InvalidField`` when they contradict each other."""
    if envelope.project_guid is not None and envelope.project_guid != guid:
        raise InvalidField("The address names another project.", field="projectGuid")
    if key is not None:
        if not is_key(key):
            raise InvalidField("Ids are 1-64 characters of A-Z a-z 0-9 . _ : -", field="Idempotency-Key")
        if envelope.id is not None and envelope.id != key:
            raise InvalidField("The header names another id.", field="Idempotency-Key")
    return Envelope(envelope.type, guid, envelope.data, key or envelope.id)


@csrf_exempt
async def asyncapi(request: HttpRequest) -> HttpResponse:
    """Return the AsyncAPI document of the socket."""
    from apps.realtime.asyncapi import document

    if request.method not in {"GET", "HEAD"}:
        return error_response(InvalidMessage("This answers GET only."), status=405, allow="GET")
    return json_response(document())
