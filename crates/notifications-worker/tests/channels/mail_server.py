"""A real SMTP server (aiosmtpd) for the tests of the channel smtp.

Writes a line with its port, then one JSON object for every mail that it was given, before it answers. What it answers is
in a file, read anew each time: `ok`; `hang` (it takes the mail and says nothing); `rcpt TEXT` and `data TEXT` (it
answers TEXT to RCPT or DATA); `drop` (it closes the connection). Ends with its standard input.
"""

import argparse
import asyncio
import email
import email.policy
import json
import ssl
import sys
from pathlib import Path

from aiosmtpd.smtp import SMTP, AuthResult


class Handler:
    def __init__(self, mode: Path):
        self.mode_file = mode

    def mode(self) -> str:
        return self.mode_file.read_text().strip()

    async def handle_RCPT(self, server, session, envelope, address, options):
        mode = self.mode()
        if mode.startswith("rcpt "):
            return mode.removeprefix("rcpt ")
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        mode = self.mode()
        if mode == "drop":
            server.transport.abort()
            return "421 gone"
        if mode.startswith("data "):
            return mode.removeprefix("data ")
        mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
        parts = [part for part in mail.walk() if not part.is_multipart()]
        told = {
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "headers": [[name, str(value)] for name, value in mail.items()],
            "parts": [[part.get_content_type(), part.get_content()] for part in parts],
            "tls": server.transport.get_extra_info("ssl_object") is not None,
            "login": session.auth_data.login.decode() if session.auth_data else None,
        }
        print(json.dumps(told), flush=True)
        if mode == "hang":
            await asyncio.sleep(3600)
        return "250 taken"


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("mode", type=Path)
    parser.add_argument("--certificate")
    parser.add_argument("--key")
    parser.add_argument("--implicit", action="store_true", help="TLS from the start")
    parser.add_argument("--login", help="user:password, without which nothing is taken")
    parser.add_argument("--port", type=int, default=0)
    args = parser.parse_args()
    context = None
    if args.certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(args.certificate, args.key)

    def authenticate(server, session, envelope, mechanism, data):
        user, password = args.login.encode().split(b":", 1)
        right = (data.login, data.password) == (user, password)
        return AuthResult(success=right, handled=False, auth_data=data)

    def server():
        starttls = context if not args.implicit else None
        login = {"auth_required": True, "authenticator": authenticate} if args.login else {}
        return SMTP(
            Handler(args.mode),
            hostname="localhost",
            tls_context=starttls,
            require_starttls=starttls is not None,
            auth_require_tls=starttls is not None,
            **login,
        )

    loop = asyncio.get_running_loop()
    listening = await loop.create_server(
        server, "127.0.0.1", args.port, ssl=context if args.implicit else None
    )
    print(listening.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


asyncio.run(main())
