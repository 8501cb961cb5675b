"""The description of the REST API (OpenAPI): complete, valid, and true to the routes."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from django.core.management import call_command
from django.test import Client

from tests.flows.test_rights import methods_of, routes


@pytest.fixture(scope="module")
def described(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    target = tmp_path_factory.mktemp("api") / "openapi.yaml"
    call_command("spectacular", "--validate", "--fail-on-warn", "--file", str(target))
    return yaml.safe_load(target.read_text())


def operations(described: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        f"{method.upper()} {path}": operation
        for path, methods in described["paths"].items()
        for method, operation in methods.items()
    }


def test_it_is_valid_and_without_warnings(described):
    assert described["openapi"] == "3.1.0"


def test_every_rest_view_is_in_it(described):
    expected = {
        f"{method} /{route.replace('<str:', '{').replace('>', '}')}"
        for route, view in routes()
        if route.startswith("api/v1/") and hasattr(view, "cls")
        for method in methods_of(view)
    }
    assert expected <= operations(described).keys()


def test_every_operation_says_what_can_go_wrong(described):
    for name, operation in operations(described).items():
        if not name.split()[1].startswith("/api/v1/"):
            continue
        codes = operation["responses"].keys()
        assert {"401", "429", "503"} <= codes, name
        if "{guid}" in name:
            assert {"403", "404"} <= codes, name
        if "requestBody" in operation:
            assert {"400", "413", "415"} <= codes, name
        assert operation["description"], name


def test_every_reference_leads_somewhere(described):
    names = set(described["components"]["schemas"])

    def walk(value: Any) -> None:
        if isinstance(value, dict):
            if "$ref" in value:
                assert value["$ref"].rpartition("/")[2] in names
            for item in value.values():
                walk(item)
        elif isinstance(value, list):
            for item in value:
                walk(item)

    walk(described)


def test_a_body_is_required_where_it_has_required_fields(described):
    found = operations(described)
    assert found["POST /api/v1/projects/"]["requestBody"]["required"] is True
    assert found["PATCH /api/v1/projects/{guid}/"]["requestBody"].get("required") in {None, False}


@pytest.mark.django_db
def test_it_is_served_with_its_page():
    assert Client().get("/api/schema/").status_code == 200
    assert b"swagger" in Client().get("/api/docs/").content.lower()
