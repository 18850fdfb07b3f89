"""Log in to PostgreSQL and ask it for one value, with the standard library alone: a driver costs half of a quick `up`.

Source: PostgreSQL manual, 55.2 (message flow), 55.3 (SASL authentication) and 55.7 (message formats); RFC 5802.
"""

import base64
import hashlib
import hmac
import secrets
import socket
import struct
import unicodedata
from dataclasses import dataclass
from typing import BinaryIO

from infra.config.urls import DatabaseUrl

_PROTOCOL = 3 << 16
_ATTEMPT_SECONDS = 3
_OK, _SASL, _CONTINUE, _FINAL = 0, 10, 11, 12


class LoginFailed(Exception):
    """There is no answer: nobody listens, the role or its password is refused, or the query fails."""


def ask(url: DatabaseUrl, query: str) -> str:
    """Return the first column of the first row that `query` yields, as the role of `url`; empty where there is none.

    Raises:
        LoginFailed: the server is away, does not answer within three seconds, or refuses.
    """
    try:
        with (
            socket.create_connection((url.host, url.port), timeout=_ATTEMPT_SECONDS) as connection,
            connection.makefile("rb") as answers,
        ):
            session = _Session(url, connection, answers)
            session.log_in()
            return session.ask(query)
    except (OSError, ValueError, struct.error) as error:
        raise LoginFailed(f"{url.user} at {url.host}:{url.port}: {error}") from None


@dataclass(frozen=True, slots=True)
class _Session:
    url: DatabaseUrl
    connection: socket.socket
    answers: BinaryIO

    def log_in(self) -> None:
        words = ("user", self.url.user, "database", self.url.database)
        start = struct.pack("!i", _PROTOCOL) + b"".join(word.encode() + b"\0" for word in words) + b"\0"
        self.connection.sendall(struct.pack("!i", len(start) + 4) + start)
        method, _ = self._authentication()
        if method == _SASL:
            self._prove_password()
        elif method != _OK:
            raise ValueError(f"the server asks for the authentication {method}, which is not SCRAM")

    def ask(self, query: str) -> str:
        self._send(b"Q", query.encode() + b"\0")
        found = ""
        while (message := self._receive())[0] != b"C":
            if message[0] == b"D":
                (length,) = struct.unpack_from("!i", message[1], 2)
                found = found or message[1][6 : 6 + max(0, length)].decode()
        return found

    def _prove_password(self) -> None:
        first = f"n=,r={secrets.token_urlsafe(18)}"
        initial = f"n,,{first}".encode()
        self._send(b"p", b"SCRAM-SHA-256\0" + struct.pack("!i", len(initial)) + initial)
        challenge = self._authentication(_CONTINUE)[1].decode()
        fields = dict(part.split("=", 1) for part in challenge.split(","))
        last = f"c=biws,r={fields['r']}"
        password = unicodedata.normalize("NFKC", self.url.password.reveal()).encode()
        salt = base64.b64decode(fields["s"])
        salted = hashlib.pbkdf2_hmac("sha256", password, salt, int(fields["i"]))
        signed = f"{first},{challenge},{last}".encode()
        proof = _proof(_hmac(salted, b"Client Key"), signed)
        self._send(b"p", f"{last},p={base64.b64encode(proof).decode()}".encode())
        verifier = self._authentication(_FINAL)[1].removeprefix(b"v=")
        if base64.b64decode(verifier) != _hmac(_hmac(salted, b"Server Key"), signed):
            raise ValueError("the server does not know the password itself")
        self._authentication(_OK)

    def _authentication(self, expected: int | None = None) -> tuple[int, bytes]:
        kind, body = self._receive()
        method: int = struct.unpack_from("!i", body)[0]
        if kind != b"R" or expected not in {None, method}:
            raise ValueError(f"unexpected answer {kind!r} {method}")
        return method, body[4:]

    def _send(self, kind: bytes, body: bytes) -> None:
        self.connection.sendall(kind + struct.pack("!i", len(body) + 4) + body)

    def _receive(self) -> tuple[bytes, bytes]:
        kind = self.answers.read(1)
        (length,) = struct.unpack("!i", self.answers.read(4))
        body = self.answers.read(length - 4)
        if kind == b"E":
            fields = {part[:1]: part[1:].decode() for part in body.split(b"\0") if part}
            raise ValueError(fields.get(b"M", "refused"))
        return kind, body


def _proof(key: bytes, signed: bytes) -> bytes:
    signature = _hmac(hashlib.sha256(key).digest(), signed)
    return bytes(byte ^ other for byte, other in zip(key, signature, strict=True))


def _hmac(key: bytes, message: bytes) -> bytes:
    return hmac.new(key, message, hashlib.sha256).digest()
