"""Who gets in: the token, the Host, the Origin; and what every answer forbids."""

from __future__ import annotations

import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from evalkit.app.access import HEADERS, Access, check_host
from evalkit.core.protocols import UsageError
from tests.app.browser import client


async def echo(request: Request) -> PlainTextResponse:
    body = (await request.body()).decode()
    return PlainTextResponse(f"{request.state.role}|{request.url.query}|{body}")


@pytest.fixture
def calls():
    return client([Route("/", echo, methods=["GET", "POST"])])


def test_a_link_lets_in_once_and_leaves_no_token_in_the_address(calls):
    calls.role = None
    token = calls.access.token("ann b")
    reply = calls.get(f"/?a=1&a=2&token={token}")
    assert reply.status == 303
    assert reply.headers["location"] == "/?a=1&a=2"
    cookie = reply.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert calls.get("/", cookie=cookie.partition(";")[0]).text == "ann b||"


@pytest.mark.parametrize(
    "cookie", ["", "evalkit-4321=", "evalkit-4321=.abc", "evalkit-4321=x.y.z", "evalkit-1=a", "=;;", "evalkit-4321=é"]
)
def test_no_token_no_page(calls, cookie):
    calls.role = None
    assert calls.get("/", cookie=cookie).status == 403


def test_a_token_is_good_for_its_role_and_secret_alone(calls):
    other = Access("127.0.0.1", 4321, b"another").token("")
    calls.role = None
    assert calls.get("/", cookie=f"evalkit-4321={other}").status == 403
    name, _, signature = calls.access.token("ann").partition(".")
    assert calls.access.role(f"{calls.access.token('bob').partition('.')[0]}.{signature}") is None
    assert calls.access.role(f"{name}.{signature}") == "ann"


@pytest.mark.parametrize(
    "host",
    [
        "evil.example:4321",
        "127.0.0.1:80",
        "127.0.0.1",
        "localhost.evil.example:4321",
        "",
        "10.0.0.1:4321",
        "u@127.0.0.1:4321",
        "[::1",
        "127.0.0.1:x",
    ],
)
def test_a_rebound_host_is_refused(calls, host):
    assert calls.get("/", host=host).status == 403


@pytest.mark.parametrize("host", ["127.0.0.1:4321", "localhost:4321", "[::1]:4321", "LOCALHOST:4321"])
def test_names_of_this_machine_are_taken(calls, host):
    assert calls.get("/", host=host).status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:9"},
        {"origin": ""},
        {"origin": "https://127.0.0.1:4321"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
def test_a_form_from_elsewhere_is_refused(calls, headers):
    assert calls.post("/", {"a": "1"}, **headers).status == 403
    assert calls.post("/", {"a": "1"}).status == 200


def test_a_foreign_origin_is_refused_for_reading_too(calls):
    assert calls.get("/", origin="http://evil.example").status == 403


def test_a_long_form_is_refused(calls):
    assert calls.post("/", {"a": "x" * 300_000}).status == 403


def test_every_answer_forbids_scripts_frames_and_requests_elsewhere(calls):
    for reply in (calls.get("/"), calls.get("/nothing"), calls.get("/", host="evil")):
        assert all(reply.headers[name.lower()] == value for name, value in HEADERS.items())
    policy = HEADERS["Content-Security-Policy"]
    assert "unsafe" not in policy
    assert "*" not in policy
    assert "default-src 'none'" in policy


def test_listening_everywhere_takes_numbers_but_no_names():
    access = Access("0.0.0.0", 80, b"s")
    assert access.good_host("192.168.1.5")
    assert not access.good_host("evil.example")


@pytest.mark.parametrize("host", ["", "http://x", "a b", "x:1"])
def test_an_address_that_is_none_is_a_message(host):
    with pytest.raises(UsageError, match="--host"):
        check_host(host)
