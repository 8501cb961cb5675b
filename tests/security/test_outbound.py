"""Where the link to the agents-server leads, what it shows on the way, and which secrets could be read where."""

# ruff: noqa: E501 - addresses, one after the other

from __future__ import annotations

import asyncio
import ipaddress
import shutil
import socket
import ssl
import subprocess
from typing import Any

import pytest
from django.core.checks import run_checks
from websockets.exceptions import InvalidStatus

from apps.agents.link.handler import AgentCommunicationHandler
from apps.agents.link.target import TargetError, addresses_of, allowed, parsed
from tests.security.wire import request, spoken, upgrade
from tests.support.browser import token_of

SECRET = "the-token-of-the-link"

NOWHERE = [
    "", "http://agents.example/", "https://agents.example/", "file:///etc/passwd", "gopher://agents.example/", "unix:///x",
    "ftp://agents.example", "javascript:x", "//agents.example", "agents.example:9000", "ws:", "ws://", "ws:///x", "ws://:80/",
    "ws://user@agents.example/", "ws://user:pass@agents.example/", "ws://agents.example@169.254.169.254/",
    "ws://agents.example/#x", "ws://agents.example\\@evil.example/", "ws://agents.example/\r\nX: y", "ws://agents example/",
    "ws://agents.example:0/", "ws://agents.example:99999/", "ws://agents.example:port/", "ws://[::1", "ws://agents.example\t/",
    "ws://agents\u2024example/", "ws://\u0000/", "WS ://x/", "ws://*/",
]  # fmt: skip


@pytest.mark.parametrize("url", NOWHERE)
def test_what_is_no_address_of_a_socket_is_refused(url):
    with pytest.raises(TargetError):
        parsed(url)


@pytest.mark.parametrize(
    "url",
    ["ws://169.254.169.254/latest", "wss://169.254.169.254/", "ws://[::ffff:169.254.169.254]/", "ws://0/", "ws://0.0.0.0/",
     "ws://[::]/", "ws://[fe80::1%25lo]/", "ws://224.0.0.1/", "ws://[ff02::1]/", "wss://100.100.100.200/",
     "wss://[fd00:ec2::254]/", "ws://[2002:a9fe:a9fe::]/", "ws://240.0.0.1/", "ws://255.255.255.255/", "ws://2852039166/",
     "ws://0xa9fea9fe/", "ws://0251.0376.0251.0376/", "wss://168.63.129.16/"],
)  # fmt: skip
async def test_addresses_of_clouds_and_of_nobody_are_refused_however_they_are_written(url):
    with pytest.raises(OSError, match=r"no place|not known|such|resolve|family|Name") as refused:
        await addresses_of(url)
    assert isinstance(refused.value, TargetError | socket.gaierror)


@pytest.mark.parametrize(
    ("address", "plain", "encrypted"),
    [("127.0.0.1", True, True), ("::1", True, True), ("10.1.2.3", True, True), ("192.168.1.1", True, True),
     ("fd12::1", True, True), ("93.184.216.34", False, True), ("2606:2800::1", False, True), ("::ffff:10.0.0.1", True, True),
     ("::ffff:93.184.216.34", False, True), ("169.254.1.1", False, False)],
)  # fmt: skip
def test_without_encryption_the_link_stays_near(address, plain, encrypted):
    parsed_address = ipaddress.ip_address(address)
    assert (allowed(parsed_address, encrypted=False), allowed(parsed_address, encrypted=True)) == (plain, encrypted)


def answers(monkeypatch: Any, *texts: str) -> list[str]:
    """Let every name have these addresses; returns the names that are asked, as they come."""
    asked: list[str] = []

    async def getaddrinfo(self: Any, host: str, port: int, **_: Any) -> list[Any]:
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (text, port)) for text in texts]

    monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", getaddrinfo)
    return asked


async def test_one_bad_address_behind_a_name_spoils_it(monkeypatch):
    answers(monkeypatch, "127.0.0.1", "169.254.169.254")
    with pytest.raises(TargetError):
        await addresses_of("ws://rebound.example/")


class Heard:
    """A server that keeps what it hears and answers with ``answer``."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []
        self.port = 0

    async def serve(self, answer: bytes, **options: Any) -> asyncio.Server:
        async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                self.heard.append(await reader.readuntil(b"\r\n\r\n"))
                writer.write(answer)
                await writer.drain()
            except (asyncio.IncompleteReadError, ConnectionError):
                pass
            finally:
                writer.close()

        server = await asyncio.start_server(take, "127.0.0.1", 0, **options)
        self.port = server.sockets[0].getsockname()[1]
        return server


async def test_the_socket_goes_to_the_address_that_was_looked_at(monkeypatch):
    heard = Heard()
    async with await heard.serve(b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n"):
        asked = answers(monkeypatch, "127.0.0.1")
        with pytest.raises(InvalidStatus):
            await AgentCommunicationHandler(url=f"ws://rebound.example:{heard.port}/", token=SECRET)._open()
        assert asked.count("rebound.example") == 1
    assert b"Host: rebound.example" in heard.heard[0]


async def test_a_redirect_is_not_followed_and_gets_no_token():
    elsewhere, here = Heard(), Heard()
    async with await elsewhere.serve(b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n"):
        for to in (f"ws://127.0.0.1:{elsewhere.port}/", "/other"):
            found = f"HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n".encode()
            async with await here.serve(found):
                with pytest.raises(InvalidStatus):
                    await AgentCommunicationHandler(url=f"ws://127.0.0.1:{here.port}/", token=SECRET)._open()
    assert elsewhere.heard == []
    assert len(here.heard) == 2


@pytest.mark.parametrize("variable", ["http_proxy", "https_proxy", "all_proxy", "ws_proxy", "socks_proxy"])
async def test_no_proxy_of_the_environment_sees_the_token(monkeypatch, variable):
    proxy, here = Heard(), Heard()
    no = b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n"
    async with await proxy.serve(no), await here.serve(no):
        for name in (variable, variable.upper()):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        with pytest.raises(InvalidStatus):
            await AgentCommunicationHandler(url=f"ws://127.0.0.1:{here.port}/", token=SECRET)._open()
    assert proxy.heard == []


async def test_a_server_that_cannot_prove_itself_gets_nothing(tmp_path):
    program = shutil.which("openssl")
    if program is None:
        pytest.skip("openssl is not installed")
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    await asyncio.to_thread(
        subprocess.run,
        [program, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost",
         "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    heard = Heard()
    async with await heard.serve(b"", ssl=context):
        with pytest.raises(ssl.SSLCertVerificationError):
            await AgentCommunicationHandler(url=f"wss://localhost:{heard.port}/", token=SECRET)._open()
    assert heard.heard == []


@pytest.mark.parametrize("url", ["http://agents.example", "ws://user:pass@agents.example"])
def test_a_bad_address_is_heard_of_before_the_start(settings, url):
    settings.AUTOCODE_AGENTS_URL = url
    assert [found.id for found in run_checks() if found.id == "autocode.E002"]


# --- secrets ------------------------------------------------------------------------------------------------------


@pytest.mark.processes
async def test_no_secret_is_in_any_log_or_answer(serve, ada, room):
    secrets = {
        "AUTOCODE_AGENTS_TOKEN": "marker-agents-token-1234",
        "AUTOCODE_SECRET_KEY": "marker-secret-key-" + "x" * 50,
    }
    server = await serve(**secrets, AUTOCODE_LOG_LEVEL="DEBUG", AUTOCODE_DEBUG="off")
    token = token_of(ada)
    bearer = f"Authorization: Bearer {token}".encode()
    body = b'{"username":"ada","password":"marker-password"}'
    typed = [b"Content-Type: application/json", b"Content-Length: %d" % len(body), b"", body]
    sent: list[bytes] = [
        request("/api/v1/me/", bearer, b""),
        request(f"/api/v1/me/?token={token}&access_token={token}", b""),
        request(f"/nowhere/{token}", b""),
        request("/api/v1/me/", b"Cookie: sessionid=marker-session-key-1234567890", b""),
        request("/api/v1/auth/token/", *typed, method="POST").removesuffix(b"\r\n"),
        upgrade(b"Sec-WebSocket-Protocol: autocode.v1, autocode.jwt." + token.encode()),
        upgrade(path=f"/ws/?token={token}"),
        upgrade(path=f"/elsewhere/{token}"),
        upgrade(b"Cookie: sessionid=marker-session-key-1234567890"),
    ]
    replies = [await spoken(server.port, one) for one in sent]
    told = server.log.read_text() + "".join(repr((one.head, one.body)) for one in replies)
    for secret in (token, token.rpartition(".")[2], "marker-password", "marker-session-key", *secrets.values()):
        assert secret not in told, secret[:20]


@pytest.mark.django_db(transaction=True)
def test_no_secret_of_the_environment_is_in_the_database_or_the_settings_page(settings):
    from django.db import connection
    from django.views.debug import SafeExceptionReporterFilter

    settings.AUTOCODE_AGENTS_TOKEN = SECRET
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names():
            cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")
            assert SECRET not in repr(cursor.fetchall())
    shown = SafeExceptionReporterFilter().get_safe_settings()
    for name in ("SECRET_KEY", "SECRET_KEY_FALLBACKS", "AUTOCODE_AGENTS_TOKEN", "AUTOCODE_DEMO_PASSWORD"):
        assert shown[name] in {"********************", ""} or not getattr(settings, name), name
    assert settings.SIMPLE_JWT["SIGNING_KEY"] not in repr(shown)


def test_what_a_desk_keeps_is_its_owners_alone(tmp_path):
    from autocode.keys import kept_secret

    kept_secret(tmp_path / "secret.key")
    assert not (tmp_path / "secret.key").stat().st_mode & 0o077
