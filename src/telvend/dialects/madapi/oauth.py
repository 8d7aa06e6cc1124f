"""OAuth 2 for partners: a token for a key and its secret, by the grant `client_credentials`.

    POST /v1/oauth/access_token?grant_type=client_credentials
    client_id=KEY&client_secret=SECRET

Where the form names no client, the two may stand in `Authorization: Basic` instead, as some partners send them. A token stands
for its key and nothing else: mode, wallets, allowance and revocation are the key's.
"""

from base64 import b64decode
from collections.abc import Mapping
from typing import Any

from telvend.dialects.contract import Context, Response
from telvend.dialects.madapi import KEYS
from telvend.dialects.madapi.fields import GRANT, Fields, Query
from telvend.dialects.madapi.forms import TOKEN_FORM, Credentials
from telvend.dialects.madapi.wire import Token
from telvend.errors import InvalidInput, NotAuthenticated
from telvend.kit.secret import Secret
from telvend.resellers.service import TOKEN_VALID_S


def client_of(form: Mapping[str, Any], headers: Mapping[bytes, bytes]) -> str | None:
    """The key that the request is made with. A token is none: it cannot be turned into another one."""
    key = _credentials(TOKEN_FORM.read(Fields(form)), headers)[0]
    return None if key is None or key.startswith(KEYS.token_prefix) else key


async def access_token(call: Context[dict[str, Any]]) -> Response:
    """Raises NotAuthenticated for a wrong secret, InvalidInput for another grant."""
    query = Query(call.query)
    form = TOKEN_FORM.read(Fields(call.form))
    grant = query.text("grant_type") or form.grant_type
    query.raise_if_any()
    if grant != GRANT:
        raise InvalidInput("grant_type", f"must be {GRANT}")
    secret = _credentials(form, call.headers)[1]
    if secret is None:
        raise NotAuthenticated
    token = await call.services.resellers.issue_token(call.caller, Secret(secret))
    return Response(200, Token(token.reveal(), "BearerToken", str(TOKEN_VALID_S)))


def _credentials(sent: Credentials, headers: Mapping[bytes, bytes]) -> tuple[str | None, str | None]:
    client, secret = sent.client_id, sent.client_secret
    if client is None:
        scheme, _, encoded = headers.get(b"authorization", b"").partition(b" ")
        if scheme.lower() != b"basic":
            return None, None
        try:
            client, _, secret = b64decode(encoded.strip(), validate=True).decode().partition(":")
        except ValueError:
            return None, None
    return client if isinstance(client, str) else None, secret if isinstance(secret, str) else None
