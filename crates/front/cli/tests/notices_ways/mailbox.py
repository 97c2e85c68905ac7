"""A mail server on loopback: aiosmtpd. Arguments: plain, starttls or smtps; the certificate and its key, or - and -; the
login, or -; the file that gets a line of JSON for each mail. Writes its port."""
import asyncio
import base64
import json
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

mode, certificate, key, login, mails = sys.argv[1:]


class Mailbox:
    async def handle_DATA(self, server, session, envelope):
        mail = {
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "text": base64.b64encode(envelope.content).decode(),
            "encrypted": server.transport.get_extra_info("sslcontext") is not None,
            "login": bool(session.authenticated),
            "hello": session.host_name,
        }
        with open(mails, "a") as out:
            out.write(json.dumps(mail) + "\n")
        return "250 taken"


def authenticator(server, session, envelope, mechanism, given):
    right = isinstance(given, LoginPassword) and given.login + b":" + given.password == login.encode()
    return AuthResult(success=right, handled=False)


context = None
if mode != "plain":
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
options = {"hostname": "localhost"}
if login != "-":
    # The server's own check knows STARTTLS alone.
    tls = mode == "starttls"
    options |= {"authenticator": authenticator, "auth_required": True, "auth_require_tls": tls}
if mode == "starttls":
    options |= {"tls_context": context, "require_starttls": True}

loop = asyncio.new_event_loop()
asyncio.set_event_loop(loop)
ready = loop.create_server(
    lambda: SMTP(Mailbox(), loop=loop, **options), "127.0.0.1", 0, ssl=context if mode == "smtps" else None
)
server = loop.run_until_complete(ready)
print(server.sockets[0].getsockname()[1], flush=True)
loop.run_forever()
