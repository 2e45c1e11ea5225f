"""smtpd.py PORT plain|starttls|tls DIR [USER PASSWORD CERT KEY]: files each mail as DIR/N.eml.

A recipient at tempfail.test gets 451 the first time and is taken later; one at reject.test always
gets 550. With USER, AUTH is required."""
import asyncio
import itertools
import os
import signal
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

port, mode, folder = int(sys.argv[1]), sys.argv[2], sys.argv[3]
user, password, cert, key = (sys.argv[4:8] + [""] * 4)[:4]
os.makedirs(folder, exist_ok=True)
number = itertools.count(1)
failed_once = set()


class Handler:
    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.endswith("@tempfail.test") and address not in failed_once:
            failed_once.add(address)
            return "451 4.3.0 try again later"
        if address.endswith("@reject.test"):
            return "550 5.1.1 no such user"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    async def handle_DATA(self, server, session, envelope):
        name = os.path.join(folder, "%04d.eml" % next(number))
        with open(name + ".part", "wb") as file:
            tls = "yes" if session.ssl or mode == "tls" else "no"
            for value in ("Tls: " + tls, "Rcpt: " + ",".join(envelope.rcpt_tos)):
                file.write(b"X-Test-" + value.encode() + b"\r\n")
            file.write(envelope.original_content)
        os.rename(name + ".part", name)
        return "250 2.0.0 queued"


def authenticate(server, session, envelope, mechanism, data):
    good = isinstance(data, LoginPassword) and (data.login, data.password) == (
        user.encode(),
        password.encode(),
    )
    return AuthResult(success=good, handled=False)


async def main():
    context = None
    if cert:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cert, key)

    def make():
        return SMTP(
            Handler(),
            enable_SMTPUTF8=True,
            hostname="smtpd.test",
            require_starttls=mode == "starttls",
            tls_context=context if mode == "starttls" else None,
            auth_required=bool(user),
            # Over implicit TLS the library does not know that it is protected.
            auth_require_tls=mode == "starttls",
            authenticator=authenticate if user else None,
        )

    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        make, "127.0.0.1", port, ssl=context if mode == "tls" else None
    )
    print("listening on %d" % server.sockets[0].getsockname()[1], flush=True)
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    await stop.wait()


asyncio.run(main())
