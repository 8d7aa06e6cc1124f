"""What is not HTTP at all is answered in JSON too, so that a client never meets another shape of error."""

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_BODY = b'{"error":"This is not a valid HTTP request."}'
_ANSWER = (
    b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\ncontent-length: "
    + str(len(_BODY)).encode()
    + b"\r\nconnection: close\r\n\r\n"
    + _BODY
)


class HttpProtocol(HttpToolsProtocol):
    """uvicorn's httptools protocol with our answer to what cannot be parsed."""

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - the parser's words are not for clients
        self.transport.write(_ANSWER)
        self.transport.close()
