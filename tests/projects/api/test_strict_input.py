"""What may come in over REST: strict JSON, known ids, cursors of ours; everything else gets one clear error."""

from __future__ import annotations

import json

import pytest

from tests.support.api import Api
from tests.support.factories import a_member, a_person, a_project

pytestmark = pytest.mark.django_db


def nested(depth: int) -> bytes:
    return b'{"name":' + b"[" * depth + b"]" * depth + b"}"


@pytest.mark.parametrize(
    ("raw", "status", "code"),
    [
        (b"", 400, "invalid_field"),
        (b"{", 400, "malformed_json"),
        (b"[]", 400, "invalid_message"),
        (b'"text"', 400, "invalid_message"),
        (b"null", 400, "invalid_message"),
        (b'{"name": "a", "name": "b"}', 400, "malformed_json"),
        (b'{"name": NaN}', 400, "malformed_json"),
        (b'{"name": -Infinity}', 400, "malformed_json"),
        (b'{"name": 1e999}', 400, "malformed_json"),
        (b'{"name": 9007199254740993}', 400, "malformed_json"),
        (b'{"name": ' + b"9" * 5000 + b"}", 400, "malformed_json"),
        (b'{"name": "a\\u0000b"}', 400, "malformed_json"),
        (b'{"na\\u0000me": "a"}', 400, "malformed_json"),
        (b'{"name": "\\ud800"}', 400, "malformed_json"),
        (b'{"name": "\xff"}', 400, "malformed_json"),
        (b"\xef\xbb\xbf{}", 400, "malformed_json"),
        (nested(20), 400, "too_deep"),
        (nested(100_000), 400, "too_deep"),
        (json.dumps({f"k{n}": 1 for n in range(201)}).encode(), 400, "malformed_json"),
        (b'{"name": "' + b"x" * 1_048_576 + b'"}', 413, "too_large"),
    ],
    ids=lambda value: repr(value[:24]) if isinstance(value, bytes) else None,
)
def test_a_body_that_is_no_strict_json_is_refused(raw, status, code):
    answer = Api(a_person()).post("projects/", raw=raw)
    assert (answer.status, answer.code) == (status, code)


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"])
def test_another_content_type_is_415(kind):
    answer = Api(a_person()).post("projects/", raw=b'{"name": "Shop"}', content_type=kind)
    assert (answer.status, answer.code) == (415, "invalid_message")


def test_half_an_emoji_is_refused_and_a_whole_one_is_kept():
    answer = Api(a_person()).post("projects/", raw=b'{"name": "\\ud83d\\ude80"}')
    assert answer.json["project"]["name"] == "\U0001f680"


def test_another_method_is_405_in_our_form():
    answer = Api(a_person()).call("PUT", "projects/", json={})
    assert (answer.status, answer.code) == (405, "invalid_message")
    assert "POST" in answer.headers["Allow"]


@pytest.mark.parametrize("guid", ["x", "0", "00000000-0000-0000-0000-000000000000", "%00", "..", "%F0%9F%9A%80"])
def test_what_is_no_project_is_not_found(guid):
    answer = Api(a_person()).get(f"projects/{guid}/tasks/")
    assert (answer.status, answer.code) == (404, "not_found")


@pytest.mark.parametrize("task_id", ["x", "%00", "a%20b", "x" * 65, "%ED%A0%80"])
def test_what_is_no_task_is_not_found(task_id):
    bob = a_member(project := a_project(), "contributor")
    for call in (Api(bob).get, Api(bob).patch, Api(bob).delete):
        assert call(f"tasks/{task_id}/", project).status == 404


# --- pages ------------------------------------------------------------------------------------------------------


def test_pages_follow_each_other_with_nothing_lost_and_nothing_twice():
    bob = a_member(project := a_project(), "contributor")
    for number in range(7):
        Api(bob).post("tasks/", project, {"title": f"T{number}"})
    seen, target = [], "tasks/?limit=3"
    while target:
        page = Api(bob).get(target, project).json
        seen += [task["number"] for task in page["results"]]
        target = page["next"]
    assert seen == [1, 2, 3, 4, 5, 6, 7]
    assert Api(bob).get("tasks/?limit=999", project).status == 200


@pytest.mark.parametrize("limit", ["0", "-1", "x", "1.5", "", "9" * 30, "\u0663"])
def test_a_limit_is_a_number_above_zero(limit):
    answer = Api(owner := a_person()).get(f"tasks/?limit={limit}", a_project(owner))
    assert (answer.status, answer.field) == (400, "limit")


@pytest.mark.parametrize(
    "cursor", ["x", "cD1hYmM=", "cD0lMDA=", "bz0tMQ==", "cD05OTk5OTk5OTk5OTk5OTk5OTk5OTk5", "%00", "="]
)
@pytest.mark.parametrize("path", ["tasks/", "messages/", "members/", "stages/", "runs/", "approvals/"])
def test_a_cursor_of_somebody_else_is_refused_or_harmless(cursor, path):
    answer = Api(owner := a_person()).get(f"{path}?cursor={cursor}", a_project(owner))
    assert answer.status in {200, 400}
    assert answer.status == 200 or answer.field == "cursor"


# --- the same wish twice ----------------------------------------------------------------------------------------


def test_a_write_sent_twice_with_one_key_is_carried_out_once():
    ada = a_person()
    key = {"Idempotency-Key": "wish-1"}
    first = Api(ada).post("projects/", json={"name": "Shop"}, headers=key)
    second = Api(ada).post("projects/", json={"name": "Shop"}, headers=key)
    assert (first.status, second.status) == (201, 201)
    assert first.json == second.json
    assert second.headers["Idempotency-Replayed"] == "true"
    assert len(Api(ada).get("projects/").json["results"]) == 1


def test_a_key_means_one_thing_for_one_person():
    ada, bob = a_person(), a_person()
    key = {"Idempotency-Key": "wish-1"}
    Api(ada).post("projects/", json={"name": "Shop"}, headers=key)
    assert Api(ada).post("projects/", json={"name": "Other"}, headers=key).code == "conflict"
    assert Api(bob).post("projects/", json={"name": "Other"}, headers=key).status == 201
    assert Api(ada).post("projects/", json={"name": "X"}, headers={"Idempotency-Key": "a b"}).field == "Idempotency-Key"


def test_a_refused_wish_is_not_remembered():
    ada = a_person("ada")
    project = a_project(ada)
    key = {"Idempotency-Key": "wish-1"}
    assert Api(ada).post("members/", project, {"username": "bob", "role": "viewer"}, headers=key).status == 400
    a_person("bob")
    assert Api(ada).post("members/", project, {"username": "bob", "role": "viewer"}, headers=key).status == 201


def test_a_deletion_repeated_is_still_done():
    bob = a_member(project := a_project(), "contributor")
    path = f"tasks/{Api(bob).post('tasks/', project, {'title': 'T'}).json['taskId']}/"
    key = {"Idempotency-Key": "gone"}
    assert [Api(bob).delete(path, project, headers=key).status for _ in range(2)] == [204, 204]
    assert Api(bob).delete(path, project).status == 404
