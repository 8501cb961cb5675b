"""Reading a page as a strict browser would: what is inline, what is linked, what stands in its data blocks."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from typing import Any

from django.http.response import HttpResponseBase


class Page(HTMLParser):
    """The parts of an answer that tests ask for."""

    def __init__(self, response: HttpResponseBase) -> None:
        super().__init__()
        self.html = response.content.decode()  # type: ignore[attr-defined] # pages are not streamed
        self.inline: list[str] = []
        """Whatever the content policy would refuse: scripts, styles, handlers and addresses in the page itself."""
        self.assets: list[str] = []
        self.testids: list[str] = []
        self._block = ""
        self.feed(self.html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self._block = tag if tag in {"script", "style"} else ""
        if tag == "script" and "src" not in given and given.get("type") != "application/json":
            self.inline.append("<script>")
        self.inline += [f"<{tag} {name}>" for name in given if name == "style" or name.startswith("on")]
        self.inline += [
            f"<{tag} {name}=javascript:>" for name, value in given.items() if value.startswith("javascript:")
        ]
        self.inline += ["<style>"] if tag == "style" else []
        if tag == "script" and "src" in given:
            self.assets.append(given["src"])
        if tag == "link" and given.get("rel") in {"stylesheet", "icon"}:
            self.assets.append(given["href"])
        if "data-testid" in given:
            self.testids.append(given["data-testid"])

    def data(self, name: str) -> Any:
        """Return the JSON of the data block with this id."""
        found = re.search(rf'<script id="{name}" type="application/json">(.*?)</script>', self.html, re.DOTALL)
        assert found is not None, f"the page has no data block {name}"
        return json.loads(found[1])
