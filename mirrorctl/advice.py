"""What to do about an error response or a failed connection; the clients' own messages say what failed, and where."""

from __future__ import annotations

from harbor_mirror.harbor.client import HarborError, NotHealthy, WrongCredentials
from harbor_mirror.linode import LinodeError
from harbor_mirror.registry.distribution import RegistryError

#: Why a connection over TLS failed, in a client's message.
UNTRUSTED = "its TLS certificate is not accepted"
CERTIFICATE = "use a name that the certificate has, or set SSL_CERT_FILE to the certificate of its authority"
HARBOR_STATE = "`mirrorctl doctor` shows the state of Harbor"
HARBOR_USER = "use an account that is an administrator of the system in Harbor"
SOURCE_ACCESS = "check the endpoint's URL, username and secret"
LINODE_TOKEN = "set a token that may do this: `pulumi config set --secret linode:token`"  # noqa: S105
AGAIN = "run the command again"
OTHER_SERVER = "use Harbor's own address: another server may have answered in its place"


def with_advice(error: HarborError | LinodeError | RegistryError) -> str:
    """Return an error's message with what to do."""
    is_redirect = isinstance(error, HarborError) and error.status is not None and 300 <= error.status < 400
    if is_redirect or isinstance(error, WrongCredentials | NotHealthy):
        # These messages say what to do themselves.
        return str(error)
    return f"{error}; {_advice(error)}"


def _advice(error: HarborError | LinodeError | RegistryError) -> str:
    status = error.status
    if UNTRUSTED in str(error):
        return CERTIFICATE
    if status == 429:
        return f"wait, then {AGAIN}"
    if isinstance(error, HarborError):
        if status in (401, 403):
            return HARBOR_USER
        return OTHER_SERVER if status is not None and status < 400 else f"{AGAIN}; {HARBOR_STATE}"
    if isinstance(error, LinodeError):
        return LINODE_TOKEN if status in (401, 403) else AGAIN
    return SOURCE_ACCESS if status is not None and status < 500 else AGAIN
