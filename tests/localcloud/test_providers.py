"""What the stand-in providers have in common: protocol, sets, configuration, and random values."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from contextlib import closing

import bcrypt
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from localcloud.http import serve
from localcloud.providers import Providers
from localcloud.providers.schema import bag, clean, listing, record, state_order, text
from localcloud.providers.values import Secret, decode, encode
from tests.localcloud.providers_replay import METHODS, Engine, StepFailed

REGISTRY = "harbor:index/registry:Registry"
PASSWORD = "random:index/randomPassword:RandomPassword"
GROUP = "harbor:index/group:Group"


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with Providers({"HARBOR_USERNAME": "from-environment"}) as providers:
        assert providers.env == {
            "PULUMI_DEBUG_PROVIDERS": ",".join(f"{name}:{providers.port}" for name in ("harbor", "linode", "random"))
        }
        yield providers.port


class Doorman:
    """A Harbor that only looks at who comes in; the first write without a CSRF token is sent back."""

    def __init__(self, csrf: bool = False) -> None:
        self.seen: list[dict[str, str]] = []
        self.csrf = csrf

    @property
    def app(self) -> Starlette:
        return Starlette(routes=[Route("/api/v2.0/{path:path}", self.answer, methods=METHODS)])

    async def answer(self, request: Request) -> Response:
        self.seen.append({name: " | ".join(request.headers.getlist(name)) for name in request.headers})
        if request.method == "GET":
            return JSONResponse({"id": 1, "group_name": "g", "group_type": 2})
        if self.csrf and "x-harbor-csrf-token" not in request.headers:
            headers = {"X-Harbor-Csrf-Token": "token-1", "Set-Cookie": "_gorilla_csrf=cookie-1==; Path=/"}
            return JSONResponse({"errors": [{"code": "FORBIDDEN", "message": "no token"}]}, 403, headers)
        return JSONResponse({}, 201, {"Location": "/api/v2.0/usergroups/1"})


def test_values_survive_the_wire() -> None:
    values = {"text": "x", "number": 3, "part": 0.5, "yes": True, "list": [1, "a", {"b": []}], "map": {"k": "v"}}
    assert decode(encode(values)) == values
    assert decode(encode({"gone": None, "hidden": Secret("s"), "deep": [{"hidden": Secret(1)}]})) == {
        "hidden": "s",
        "deep": [{"hidden": 1}],
    }


def test_sets_are_sent_and_kept_in_the_plugins_orders() -> None:
    # The tags of the recorded instance, and the filters of the recorded rule.
    assert clean(["harbor", "prod", "Extra"], bag(text())) == ["Extra", "prod", "harbor"]
    assert state_order(["prod", "Extra", "harbor"], text()) == ["Extra", "harbor", "prod"]
    block = record(decoration=text(), labels=listing(text()), name=text(), resource=text(), tag=text())
    name, kind = {"name": "library/nginx"}, {"resource": "image"}
    tag = {"tag": "1.*", "decoration": "excludes"}
    sent = clean([tag, kind, name], bag(block))
    assert [next(key for key in ("name", "resource", "tag") if made[key]) for made in sent] == [
        "name",
        "resource",
        "tag",
    ]


@pytest.mark.parametrize(
    ("config", "header", "value"),
    [
        ({"username": "admin", "password": "pw"}, "authorization", "Basic " + base64.b64encode(b"admin:pw").decode()),
        ({"password": "pw"}, "authorization", "Basic " + base64.b64encode(b"from-environment:pw").decode()),
        ({"password": "pw", "sessionId": "abc"}, "cookie", "sid=abc"),
        ({"password": "pw", "bearerToken": "jwt"}, "authorization", "Bearer jwt"),
    ],
)
def test_the_provider_logs_in_with_session_then_token_then_password(
    config: dict[str, str], header: str, value: str, port: int
) -> None:
    door = Doorman()
    with serve(door.app) as server, closing(Engine(port, "harbor", {"url": server.url + "/", **config})) as engine:
        assert engine.up("group", GROUP, {"groupName": "g", "groupType": 2}) == "create"
    assert {seen[header] for seen in door.seen} == {value}
    assert len(door.seen) == 2


def test_a_write_that_lacks_the_csrf_token_is_tried_again_with_it() -> None:
    door = Doorman(csrf=True)
    with (
        Providers() as providers,
        serve(door.app) as server,
        closing(Engine(providers.port, "harbor", {"url": server.url, "sessionId": "abc"})) as engine,
    ):
        engine.up("group", GROUP, {"groupName": "g", "groupType": 2})
    first, second, read = door.seen
    assert "x-harbor-csrf-token" not in first
    assert second["x-harbor-csrf-token"] == "token-1"
    assert second["cookie"] == "sid=abc | _gorilla_csrf=cookie-1", "two headers, the second cut at its first ="
    assert "gorilla" not in read["cookie"]


def test_two_providers_on_one_port_keep_to_their_own_harbor(port: int) -> None:
    doors = [Doorman(), Doorman()]
    with serve(doors[0].app) as first, serve(doors[1].app) as second:
        engines = [Engine(port, "harbor", {"url": server.url, "password": "x"}) for server in (first, second)]
        engines[0].up("group", GROUP, {"groupName": "g", "groupType": 2})
        assert [len(door.seen) for door in doors] == [2, 0]
        engines[1].up("group", GROUP, {"groupName": "g", "groupType": 2})
        assert [len(door.seen) for door in doors] == [2, 2]
        for engine in engines:
            engine.close()


def test_a_harbor_without_url_is_refused(port: int) -> None:
    with pytest.raises(StepFailed, match="url is required and must be provided"):
        Engine(port, "harbor", {"username": "admin"})


def test_a_harbor_that_does_not_answer_is_an_error_of_the_resource(port: int) -> None:
    with serve(Doorman().app) as server:
        url = server.url
    with (
        closing(Engine(port, "harbor", {"url": url})) as engine,
        pytest.raises(StepFailed, match=r"^1 error occurred:\n\t"),
    ):
        engine.up("group", GROUP, {"groupName": "g", "groupType": 2})


def test_names_are_generated_if_the_program_gives_none(port: int) -> None:
    with closing(Engine(port, "harbor", {"url": "http://127.0.0.1:9"})) as engine:
        inputs = engine.check("mirror", REGISTRY, {"providerName": "quay", "endpointUrl": "https://quay.io"})
        assert re.fullmatch(r"mirror-[0-9a-f]{7}", inputs["name"])
        assert inputs["__defaults"] == ["accessId", "accessSecret", "description", "insecure", "name"]


@pytest.fixture
def random(port: int) -> Iterator[Engine]:
    with closing(Engine(port, "random", {})) as engine:
        yield engine


def test_a_random_password_follows_its_rules(random: Engine) -> None:
    wanted = {"length": 40, "minUpper": 5, "minNumeric": 6, "overrideSpecial": "!-", "minSpecial": 7, "lower": False}
    assert random.up("password", PASSWORD, wanted) == "create"
    made = random.state["password"].outputs
    result = made["result"]
    assert re.fullmatch(r"[A-Z0-9!-]{40}", result)
    assert sum(letter.isupper() for letter in result) >= 5
    assert sum(letter.isdigit() for letter in result) >= 6
    assert sum(letter in "!-" for letter in result) >= 7
    assert bcrypt.checkpw(result.encode(), made["bcryptHash"].encode())
    assert random.state["password"].id == "none"
    assert "__defaults" not in random.state["password"].inputs


def test_a_random_password_changes_only_when_an_input_changes(random: Engine) -> None:
    random.up("password", PASSWORD, {"length": 16, "keepers": {"version": "1"}})
    first = random.state["password"].outputs["result"]
    assert random.up("password", PASSWORD, {"length": 16, "keepers": {"version": "1"}}) == "same"
    assert random.refresh("password") == {}
    assert random.state["password"].outputs["result"] == first
    assert random.up("password", PASSWORD, {"length": 16, "keepers": {"version": "2"}}) == "replace"
    assert random.state["password"].outputs["result"] != first
    assert random.up("password", PASSWORD, {"length": 20, "keepers": {"version": "2"}}) == "replace"


def test_a_random_id_shows_one_value_in_four_ways(random: Engine) -> None:
    random.up("id", "random:index/randomId:RandomId", {"byteLength": 4, "prefix": "p-"})
    made = random.state["id"].outputs
    value = bytes.fromhex(made["hex"].removeprefix("p-"))
    assert len(value) == 4
    assert made["dec"] == f"p-{int.from_bytes(value)}"
    assert made["b64Std"] == "p-" + base64.b64encode(value).decode()
    assert random.state["id"].id == base64.urlsafe_b64encode(value).decode().rstrip("=")
