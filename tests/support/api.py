"""The REST API as tests speak it: ``Api(person).get("stages/", project)``. JSON in, JSON out."""

from __future__ import annotations

from typing import Any

from django.test import Client

from apps.accounts.models import User
from apps.accounts.services import TokenService
from apps.projects.models import Project


class Answer:
    """A status, headers and the JSON that came."""

    def __init__(self, response: Any) -> None:
        self.status: int = response.status_code
        self.headers = response.headers
        self.json: Any = response.json() if response.content else None

    @property
    def code(self) -> str | None:
        """The error's code, or None."""
        return self.json["error"]["code"] if isinstance(self.json, dict) and "error" in self.json else None

    @property
    def field(self) -> str | None:
        """The field that the error names."""
        return self.json["error"].get("field")

    def __repr__(self) -> str:
        return f"<{self.status} {self.json!r}>"


class Api:
    """A caller: a person with an access token, or nobody."""

    def __init__(self, person: User | None = None) -> None:
        self.client = Client(raise_request_exception=False)
        self.token = TokenService().begin(person)[0] if person else None

    def call(
        self, method: str, path: str, project: Project | None = None, *, raw: bytes | None = None, **options: Any
    ) -> Answer:
        """Send one request; ``path`` is below ``/api/v1/``, or below the project's address."""
        headers = options.pop("headers", {})
        if self.token:
            headers = {"Authorization": f"Bearer {self.token}"} | headers
        prefix = f"/api/v1/projects/{project.guid}/" if project else "/api/v1/"
        target = path if path.startswith(("/", "http")) else prefix + path
        body = options.pop("json", None)
        kind = options.pop("content_type", "application/json")
        if raw is None and body is None:
            return Answer(self.client.generic(method, target, headers=headers, **options))
        data = raw if raw is not None else _encoded(body)
        return Answer(self.client.generic(method, target, data, content_type=kind, headers=headers, **options))

    def get(self, path: str, project: Project | None = None, **options: Any) -> Answer:
        return self.call("GET", path, project, **options)

    def post(self, path: str, project: Project | None = None, json: Any = None, **options: Any) -> Answer:
        return self.call("POST", path, project, json={} if json is None else json, **options)

    def patch(self, path: str, project: Project | None = None, json: Any = None, **options: Any) -> Answer:
        return self.call("PATCH", path, project, json={} if json is None else json, **options)

    def delete(self, path: str, project: Project | None = None, **options: Any) -> Answer:
        return self.call("DELETE", path, project, **options)


def _encoded(body: Any) -> bytes:
    import json

    return json.dumps(body).encode()
