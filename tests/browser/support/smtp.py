"""A real mail server on loopback, for tests: aiosmtpd, on a free port.

Prints one line of JSON when it listens, and one for each mail that it took.
"""

import asyncio
import json
from email import message_from_bytes, policy

from aiosmtpd.smtp import SMTP


def tell(**what):
    print(json.dumps(what), flush=True)


class Handler:
    async def handle_DATA(self, server, session, envelope):
        mail = message_from_bytes(envelope.content, policy=policy.default)
        tell(
            to=envelope.rcpt_tos,
            sender=envelope.mail_from,
            subject=mail["subject"],
            text=mail.get_content(),
        )
        return "250 OK"


async def main():
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(Handler(), loop=loop), "127.0.0.1", 0)
    tell(port=server.sockets[0].getsockname()[1])
    await server.serve_forever()


asyncio.run(main())
