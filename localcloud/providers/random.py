"""The stand-in for the random provider: values are created once, and again only when an input changes."""

from __future__ import annotations

import base64
import secrets
import string
from collections.abc import Mapping

import bcrypt

from localcloud.providers.resource import Draft, Failed, Resource
from localcloud.providers.schema import Field, flag, mapping, number, out, properties, text
from localcloud.providers.service import Package
from localcloud.providers.values import Values

SPECIAL = "!@#$%&*()-_=+[]{}<>:?"
#: bcrypt's limit; the real plugin hashes the first bytes of a longer password.
BCRYPT_BYTES, BCRYPT_COST = 72, 10


_KEEPERS = mapping(new=True)


class Random(Resource[None]):
    """A random value: nothing is read, and no property can be changed in place."""

    framework = True

    def read(self, api: None, draft: Draft) -> None:
        pass

    def update(self, api: None, draft: Draft) -> None:
        pass

    def delete(self, api: None, draft: Draft) -> None:
        pass


_OPTIONS: Mapping[str, Field] = {
    "keepers": _KEEPERS,
    "length": number(required=True, new=True),
    "lower": flag(computed=True, default=True, new=True),
    "minLower": number(computed=True, default=0, new=True),
    "minNumeric": number(computed=True, default=0, new=True),
    "minSpecial": number(computed=True, default=0, new=True),
    "minUpper": number(computed=True, default=0, new=True),
    "number": flag(computed=True, new=True),
    "numeric": flag(computed=True, new=True),
    "overrideSpecial": text(new=True),
    "special": flag(computed=True, default=True, new=True),
    "upper": flag(computed=True, default=True, new=True),
}


class RandomPassword(Random):
    fields = properties(**_OPTIONS, bcryptHash=out(text(secret=True)), result=out(text(secret=True)))

    def adjust(self, old: Values | None, planned: Values, inputs: Values) -> None:  # noqa: ARG002
        # `number` is the old name of `numeric`: either stands for both.
        stated = [inputs[name] for name in ("numeric", "number") if inputs.get(name) is not None]
        planned["number"] = planned["numeric"] = stated[0] if stated else True

    def create(self, api: None, draft: Draft) -> None:  # noqa: ARG002
        result = self._make(draft)
        draft.set(result=result, bcryptHash=_bcrypt(result))
        draft.id = "none"

    def prepare_import(self, api: None, draft: Draft) -> None:  # noqa: ARG002
        defaults: Values = {name: spec.default for name, spec in self.fields.items() if spec.default is not None}
        known = {"length": len(draft.id), "result": draft.id, "bcryptHash": _bcrypt(draft.id)}
        draft.set(**defaults, number=True, numeric=True, **known)
        draft.id = "none"

    @staticmethod
    def _make(draft: Draft) -> str:
        kinds = [
            (draft["lower"], string.ascii_lowercase, draft["minLower"]),
            (draft["upper"], string.ascii_uppercase, draft["minUpper"]),
            (draft["numeric"], string.digits, draft["minNumeric"]),
            (draft["special"], draft["overrideSpecial"] or SPECIAL, draft["minSpecial"]),
        ]
        least = sum(minimum for _, _, minimum in kinds)
        if draft["length"] < max(least, 1):
            raise Failed(f"Random String Error: the length must be at least {max(least, 1)}, got: {draft['length']}")
        alphabet = "".join(letters for used, letters, _ in kinds if used)
        chosen = [secrets.choice(letters) for _, letters, minimum in kinds for _ in range(minimum)]
        chosen += [secrets.choice(alphabet) for _ in range(draft["length"] - len(chosen))]
        secrets.SystemRandom().shuffle(chosen)
        return "".join(chosen)


def _bcrypt(password: str) -> str:
    return bcrypt.hashpw(password.encode()[:BCRYPT_BYTES], bcrypt.gensalt(BCRYPT_COST)).decode()


class RandomId(Random):
    fields = properties(
        b64Std=out(text()),
        b64Url=out(text()),
        byteLength=number(required=True, new=True),
        dec=out(text()),
        hex=out(text()),
        keepers=_KEEPERS,
        prefix=text(new=True),
    )

    def create(self, api: None, draft: Draft) -> None:  # noqa: ARG002
        value = secrets.token_bytes(draft["byteLength"])
        prefix = draft["prefix"]
        draft.id = base64.urlsafe_b64encode(value).decode().rstrip("=")
        draft.set(
            b64Std=prefix + base64.b64encode(value).decode(),
            b64Url=prefix + draft.id,
            dec=prefix + str(int.from_bytes(value)),
            hex=prefix + value.hex(),
        )


def _no_client(config: Values, environment: Mapping[str, str]) -> None:
    """Return no client: this provider has no API."""


RANDOM = Package("random", "random", _no_client, [RandomPassword(), RandomId()])
