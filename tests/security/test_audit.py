"""The audit trail: every deed that matters is in it, with who and from where; nobody changes it."""

from __future__ import annotations

import datetime as dt
from importlib import import_module
from typing import Any

import pytest
from django.contrib import admin
from django.core.cache import cache
from django.db import Error, connection, models, transaction
from django.test import Client

from apps.accounts import audit, throttling
from apps.accounts.audit import Deed
from apps.accounts.audited import AuditedActions
from apps.accounts.models import AuditEntry, User
from apps.accounts.services import AccountService, TokenService
from apps.agents.models import Approval, DeadLetter, OutboxMessage
from apps.agents.services.approvals import ApprovalService
from apps.core import clock
from apps.core.actor import AGENTS_SERVER, SYSTEM
from tests.realtime.conftest import do, manager
from tests.support.api import Api
from tests.support.browser import Browser
from tests.support.factories import a_member, a_person, a_project

__all__ = ["manager"]

pytestmark = pytest.mark.django_db

guard = import_module("apps.accounts.migrations.0004_audit_guard")


@pytest.fixture
def guarded(transactional_db):
    """The database as it is outside of tests."""
    guard.run(connection, "install")
    yield
    guard.run(connection, "remove")


def trail(*deeds: Deed) -> list[AuditEntry]:
    """Return the entries of these deeds, the oldest first."""
    return list(AuditEntry.objects.filter(deed__in=[deed.value for deed in deeds]).order_by("at", "id"))


def an_entry(age: dt.timedelta = dt.timedelta()) -> AuditEntry:
    return AuditEntry.objects.create(at=clock.now() - age, deed="login", outcome="done", actor_kind="system")


# --- nothing is changed -------------------------------------------------------------------------------------------


def test_the_application_refuses_to_change_an_entry():
    entry = an_entry()
    entry.outcome = "refused"
    for change in (
        entry.save,
        entry.delete,
        lambda: AuditEntry.objects.update(outcome="refused"),
        lambda: AuditEntry.objects.all().delete(),
        lambda: AuditEntry.objects.bulk_update([entry], ["outcome"]),
        lambda: AuditEntry.objects.update_or_create(pk=entry.pk, defaults={"outcome": "refused"}),
    ):
        with pytest.raises(TypeError, match="append-only"):
            change()
    assert AuditEntry.objects.get(pk=entry.pk).outcome == "done"


CHANGES = [
    "UPDATE accounts_auditentry SET outcome = 'refused'",
    "UPDATE accounts_auditentry SET at = '2001-01-01 00:00:00'",
    "DELETE FROM accounts_auditentry",
]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("statement", CHANGES)
def test_the_database_refuses_to_change_an_entry(guarded, statement):
    entry = an_entry()
    with pytest.raises(Error, match="append-only"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)
    assert AuditEntry.objects.get(pk=entry.pk).outcome == "done"


@pytest.mark.django_db(transaction=True)
def test_no_way_around_the_triggers(guarded):
    entry = an_entry()
    fields = [str(field.column) for field in AuditEntry._meta.concrete_fields]
    columns = ", ".join(fields)
    forged = ", ".join("'refused'" if name == "outcome" else name for name in fields)
    instead = "ON CONFLICT (id) DO UPDATE SET outcome = 'refused'"
    if connection.vendor == "sqlite":
        ways = [f"INSERT OR REPLACE INTO accounts_auditentry ({columns}) SELECT {forged} FROM accounts_auditentry"]
    else:
        ways = [
            "TRUNCATE accounts_auditentry",
            f"INSERT INTO accounts_auditentry ({columns}) SELECT {forged} FROM accounts_auditentry {instead}",
        ]
    for way in ways:
        with pytest.raises(Error, match="append-only"), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(way)
    assert AuditEntry.objects.get(pk=entry.pk).outcome == "done"


@pytest.mark.django_db(transaction=True)
def test_retention_removes_what_is_old_and_can_remove_nothing_else(guarded, settings):
    day = dt.timedelta(days=1)
    old, kept, young = an_entry(400 * day), an_entry(300 * day), an_entry()
    assert audit.forget_old() == 1
    assert set(AuditEntry.objects.all()) == {kept, young}
    assert old not in AuditEntry.objects.all()
    settings.AUTOCODE_AUDIT_DAYS = 0
    with pytest.raises(Error, match="append-only"):
        audit.forget_old()
    assert young in AuditEntry.objects.all()


def test_a_site_cannot_keep_it_for_less_than_the_database_does():
    from autocode.variables import VARIABLES

    assert VARIABLES["AUTOCODE_AUDIT_DAYS"].minimum == 90


@pytest.mark.django_db(transaction=True)
def test_the_upkeep_of_a_site_forgets_what_is_old(guarded):
    from apps.agents.services.upkeep import prune

    an_entry(dt.timedelta(days=400))
    prune()
    assert not AuditEntry.objects.filter(at__lt=clock.now() - dt.timedelta(days=365)).exists()


def test_the_migrations_install_the_guards():
    executor = import_module("django.db.migrations.loader").MigrationLoader(connection)
    operations = executor.disk_migrations["accounts", "0004_audit_guard"].operations
    assert operations[0].code is guard.install


def test_the_administration_shows_it_and_changes_nothing():
    entry = an_entry()
    client = Client()
    client.force_login(a_person("root", is_staff=True, is_superuser=True))
    address = "/admin/accounts/auditentry/"
    assert client.get(address, {"q": "x"}).status_code == 200
    assert client.get(f"{address}{entry.pk}/change/").status_code == 200
    assert client.get(f"{address}add/").status_code == 403
    assert client.post(f"{address}{entry.pk}/change/", {"outcome": "refused"}).status_code == 403
    assert client.post(f"{address}{entry.pk}/delete/", {"post": "yes"}).status_code == 403
    client.post(address, {"action": "delete_selected", "_selected_action": [str(entry.pk)], "post": "yes"})
    assert AuditEntry.objects.get(pk=entry.pk).outcome == "done"
    assert "trail" in client.get("/admin/accounts/").content.decode()


# --- what is in it ------------------------------------------------------------------------------------------------


def test_logins_and_failures_are_in_it_with_where_they_came_from():
    ada = a_person("ada")
    here: dict[str, Any] = {
        "REMOTE_ADDR": "192.0.2.7",
        "headers": {"User-Agent": "agent\n1", "X-Request-ID": "request-1"},
    }
    body = {"username": "ada", "password": "secret-pass"}
    tokens = Api().post("auth/token/", json=body, **here).json
    Api().post("auth/token/", json=body | {"password": "wrong"}, **here)
    Api().post("auth/token/", json=body | {"username": "my-Secret-1"}, **here)
    Api().post("auth/token/blacklist/", json={"refresh": tokens["refresh"]}, **here)
    page = Client(REMOTE_ADDR="192.0.2.8")
    page.post("/admin/login/", body)
    page.post("/logout/")
    good, wrong, unknown, out, at_page, out_page = trail(Deed.LOGIN, Deed.LOGOUT)
    assert (good.outcome, good.actor_id, good.address) == ("done", str(ada.pk), "192.0.2.7")
    assert (good.client, good.correlation_id, good.details) == ("agent\ufffd1", "request-1", {"by": "token"})
    assert (wrong.outcome, wrong.actor_kind, wrong.subject) == ("refused", "system", str(ada.pk))
    assert (unknown.outcome, unknown.subject) == ("refused", "")
    assert unknown.subject_name.startswith("unknown ")
    assert "my-Secret-1" not in repr([vars(entry) for entry in AuditEntry.objects.all()])
    assert (out.deed, out.actor_id, out.details["by"]) == ("logout", str(ada.pk), "token")
    assert (at_page.deed, at_page.address, at_page.details) == ("login", "192.0.2.8", {"by": "session"})
    assert (out_page.deed, out_page.actor_id, out_page.address) == ("logout", str(ada.pk), "192.0.2.8")


def test_a_token_that_comes_back_is_in_it():
    ada = a_person("ada")
    _, refresh = TokenService().begin(ada)
    for _ in range(2):
        Api().post("auth/token/refresh/", json={"refresh": refresh}, REMOTE_ADDR="192.0.2.9")
    [reused] = trail(Deed.TOKEN_REUSED)
    assert (reused.outcome, reused.subject_name, reused.address) == ("refused", "ada", "192.0.2.9")
    assert refresh not in repr(vars(reused))


def test_guessing_is_written_down_once_a_window(monkeypatch):
    cache.clear()
    monkeypatch.setattr(throttling.WindowThrottle, "THROTTLE_RATES", {"login": "2/hour", "anon": "99/hour"})
    for _ in range(6):
        Api().post("auth/token/", json={"username": "ada", "password": "x"}, REMOTE_ADDR="192.0.2.1")
    cache.clear()
    [slowed] = trail(Deed.LOGIN_SLOWED)
    assert (slowed.address, slowed.details) == ("192.0.2.1", {"counted_by": "login"})


def test_accounts_are_in_it_whoever_changes_them():
    root = a_person("root", is_staff=True, is_superuser=True)
    bob = User.objects.create_user("bob", password="secret-pass", is_staff=True)
    service = AccountService(root.actor)
    service.end_all_sessions(user_id=bob.pk)
    bob.refresh_from_db()
    bob.is_staff = False
    bob.set_password("another-one")
    bob.save()
    bob.display_name = "Bobby"
    bob.save()
    service.deactivate(user_id=bob.pk)
    bob.delete()
    entries = AuditEntry.objects.filter(subject_name="bob").order_by("at", "id")
    found = [(entry.deed, entry.details) for entry in entries]
    assert found == [
        ("account.created", {"kind": "person", "staff": True}),
        ("access.ended", {"why": "ended"}),
        ("account.changed", {"is_staff": False, "password": "changed"}),
        ("account.changed", {"is_active": False}),
        ("account.deleted", {}),
    ]
    assert "another-one" not in repr(found)


def test_members_are_in_it():
    project = a_project(a_person("ada"))
    bob = a_member(project, "viewer", "bob")
    owner = Api(User.objects.get(username="ada"))
    owner.patch(f"members/{bob.pk}/", project, {"role": "approver"}, REMOTE_ADDR="192.0.2.3")
    owner.delete(f"members/{bob.pk}/", project)
    added, changed, removed = trail(Deed.MEMBER_ADDED, Deed.MEMBER_ROLE, Deed.MEMBER_REMOVED)[-3:]
    assert (added.deed, added.details) == ("member.added", {"role": "viewer", "previous": None})
    assert (changed.actor_name, changed.subject_name, changed.project) == ("ada", "bob", str(project.guid))
    assert (changed.details, changed.address) == ({"role": "approver", "previous": "viewer"}, "192.0.2.3")
    assert (removed.deed, removed.details) == ("member.removed", {"role": None, "previous": "approver"})


def asked(project: Any, key: str = "ask-1") -> Approval:
    ApprovalService(AGENTS_SERVER).request(guid=project.guid, approval_id=key, agent_id="coder", tool="bash")
    return Approval.objects.get(key=key)


def test_decisions_are_in_it_and_refused_ones_too():
    project = a_project()
    approver, viewer = a_member(project, "approver"), a_member(project, "viewer")
    approval = asked(project)
    body = {"decision": "approve", "argsDigest": approval.args_digest}
    assert Api(viewer).post("approvals/ask-1/decision/", project, body).status == 403
    assert Api(approver).post("approvals/ask-1/decision/", project, body, REMOTE_ADDR="192.0.2.5").status == 200
    [refused] = trail(Deed.REFUSED)
    assert (refused.actor_id, refused.outcome) == (str(viewer.pk), "refused")
    assert refused.details["what"].endswith("/approvals/ask-1/decision/")
    [decided] = trail(Deed.APPROVAL_DECIDED)
    assert (decided.actor_id, decided.subject, decided.address) == (str(approver.pk), "ask-1", "192.0.2.5")
    assert decided.details == {"decision": "approve", "digest": approval.args_digest}


def test_a_decision_that_was_not_taken_is_not_in_it():
    project = a_project()
    approver = a_member(project, "approver")
    asked(project)
    Api(approver).post("approvals/ask-1/decision/", project, {"decision": "approve", "argsDigest": "f" * 64})
    assert not trail(Deed.APPROVAL_DECIDED)


@pytest.mark.django_db(transaction=True)
async def test_what_a_socket_does_is_in_it_with_its_address(manager):
    project = await do(a_project)
    approver, viewer = await do(a_member, project, "approver"), await do(a_member, project, "viewer")
    approval = await do(asked, project)
    data = {"approvalId": "ask-1", "decision": "reject", "argsDigest": approval.args_digest}
    async with await Browser.open(viewer) as tab:
        await tab.join(project)
        assert (await tab.refused("approval", data, project))["code"] == "forbidden"
    async with await Browser.open(approver) as tab:
        await tab.join(project)
        assert (await tab.command("approval", data, project))["type"] == "ack"
    refused, decided = await do(lambda: trail(Deed.REFUSED, Deed.APPROVAL_DECIDED))
    assert (refused.actor_id, refused.address) == (str(viewer.pk), "127.0.0.1")
    assert (decided.actor_id, decided.address, decided.project) == (str(approver.pk), "127.0.0.1", str(project.guid))


def test_a_flood_of_refusals_fills_no_table():
    project = a_project()
    viewer = Api(a_member(project, "viewer"))
    cache.clear()
    for _ in range(30):
        assert viewer.post("tasks/", project, {"title": "x"}).status == 403
    cache.clear()
    assert len(trail(Deed.REFUSED)) == 10


def test_dead_letters_and_the_administration_are_in_it():
    root = a_person("root", is_staff=True, is_superuser=True)
    row = OutboxMessage.objects.get(project=a_project())
    OutboxMessage.objects.update(state="dead")
    letters = [
        DeadLetter.objects.create(direction="out", project=row.project, outbox=row, code="no", reason="no", type="chat")
        for _ in range(2)
    ]
    client = Client(REMOTE_ADDR="192.0.2.6")
    client.force_login(root)
    for action, letter in zip(("try_again", "put_aside"), letters, strict=True):
        form = {"action": action, "_selected_action": [str(letter.pk)]}
        assert client.post("/admin/agents/deadletter/", form).status_code == 302
    retried, discarded = trail(Deed.LETTER_RETRIED, Deed.LETTER_DISCARDED)
    assert (retried.actor_name, retried.subject, retried.address) == ("root", str(letters[0].pk), "192.0.2.6")
    assert discarded.deed == "letter.discarded"
    actions = [(entry.subject_name, entry.details["ids"]) for entry in trail(Deed.ADMIN_ACTION)]
    assert actions == [("try_again", [str(letters[0].pk)]), ("put_aside", [str(letters[1].pk)])]
    form = {"username": "newcomer", "kind": "person", "usable_password": "true",
            "password1": "quite-another-1", "password2": "quite-another-1"}  # fmt: skip
    assert client.post("/admin/accounts/user/add/", form).status_code == 302
    [changed] = trail(Deed.ADMIN_CHANGE)
    assert (changed.actor_name, changed.subject_name, changed.address) == ("root", "newcomer", "192.0.2.6")
    assert "quite-another-1" not in repr(vars(changed))


def test_no_action_of_the_administration_goes_unwritten():
    for model, options in admin.site._registry.items():
        assert not options.actions or isinstance(options, AuditedActions), model


def test_a_deed_that_is_rolled_back_leaves_no_entry():
    with pytest.raises(RuntimeError), transaction.atomic():
        audit.record(Deed.ADMIN_ACTION, actor=SYSTEM)
        raise RuntimeError
    assert not trail(Deed.ADMIN_ACTION)


def test_an_entry_holds_no_control_characters_and_has_a_bounded_size():
    audit.record(Deed.ADMIN_ACTION, subject_name="\x1b[2J\u202e\x00" + "x" * 5_000, why="\n" * 300)
    [entry] = trail(Deed.ADMIN_ACTION)
    assert len(entry.subject_name) == 200
    for text in (entry.subject_name, entry.details["why"]):
        assert text.isprintable()


def test_an_entry_refers_to_nothing_that_can_go():
    assert not [field for field in AuditEntry._meta.get_fields() if isinstance(field, models.ForeignKey)]
