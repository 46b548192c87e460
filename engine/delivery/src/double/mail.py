# A mail server with STARTTLS or TLS and AUTH PLAIN/LOGIN. First line on standard output: where it listens, or what is
# missing; then one line per mail. It ends when its standard input does.
import asyncio, email, email.policy, json, os, ssl, subprocess, sys, tempfile

def say(value):
    print(json.dumps(value), flush=True)

try:
    from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword
except ImportError:
    say({"missing": "aiosmtpd"})
    sys.exit(0)

flags = set(sys.argv[1:])
context, certificate = None, ""
if "--plain" not in flags:
    folder = tempfile.TemporaryDirectory()
    key, pem = os.path.join(folder.name, "key.pem"), os.path.join(folder.name, "cert.pem")
    try:
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                        "-keyout", key, "-out", pem, "-days", "2", "-subj", "/CN=localhost",
                        "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
                        "-addext", "basicConstraints=critical,CA:FALSE"],
                       check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    except FileNotFoundError:
        say({"missing": "openssl"})
        sys.exit(0)
    certificate = open(pem).read()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem, key)

def authenticate(server, peer, envelope, mechanism, data):
    good = isinstance(data, LoginPassword) and (data.login, data.password) == (b"user", b"password")
    if good:
        peer.login_name = f"{data.login.decode()} by {mechanism}"
    return AuthResult(success=good, handled=False)

import base64, hmac

class Handler:
    async def auth_PLAIN(self, server, args):
        identity, login, password = base64.b64decode(args[1]).split(b"\0")
        good = (login, password) == (b"user", b"password")
        if good:
            server.session.login_name = "user by PLAIN" + (f" as {identity.decode()}" if identity else "")
        return AuthResult(success=good, handled=False)

    async def auth_CRAM__MD5(self, server, args):
        challenge = "<1896.697170952@mail.example>"
        answer = await server.challenge_auth(challenge)
        expected = b"user " + hmac.new(b"secret", challenge.encode(), "md5").hexdigest().encode()
        good = answer == expected
        if good:
            server.session.login_name = "user by CRAM-MD5"
        return AuthResult(success=good, handled=False)

    async def auth_XOAUTH2(self, server, args):
        good = base64.b64decode(args[1]) == b"user=user\x01auth=Bearer access-1\x01\x01"
        if good:
            server.session.login_name = "user by XOAUTH2"
        return AuthResult(success=good, handled=False)

    async def handle_RCPT(self, server, peer, envelope, address, options):
        if address.startswith("reject@"):
            return "550 5.1.1 no such user here"
        if address.startswith("later@"):
            return "451 4.7.1 greylisted, come back later"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, peer, envelope):
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        parts = [[part.get_content_type(), part.get_content()] for part in message.walk() if not part.is_multipart()]
        say({"hello": peer.host_name, "from": envelope.mail_from, "to": envelope.rcpt_tos,
             "encrypted": peer.ssl is not None or "--implicit-tls" in flags,
             "login": getattr(peer, "login_name", ""), "subject": str(message["subject"]),
             "headers": [[name, str(value)] for name, value in message.items()], "parts": parts})
        return "250 2.0.0 queued as 42"

async def main():
    loop = asyncio.get_running_loop()
    implicit = "--implicit-tls" in flags
    def peer():
        return SMTP(Handler(), hostname="mail.example", loop=loop,
                    tls_context=None if implicit else context, require_starttls=context is not None and not implicit,
                    authenticator=authenticate, auth_required="--login" in flags,
                    auth_require_tls=context is not None and not implicit,
                    auth_exclude_mechanism=["PLAIN"] if "--login-only" in flags else [])
    server = await loop.create_server(peer, "127.0.0.1", 0, ssl=context if implicit else None)
    say({"port": server.sockets[0].getsockname()[1], "certificate": certificate})
    await loop.run_in_executor(None, sys.stdin.read)

asyncio.run(main())
os._exit(0)
