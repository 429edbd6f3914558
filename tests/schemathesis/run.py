"""Holds a running server to its /openapi.json, as every kind of caller.

Schemathesis makes requests from the document, right ones and wrong ones, and compares each answer
with it: no 5xx, and no status, type, header or body that the document does not have.

Usage: run.py SCHEMATHESIS FLOWSTITCH [requests per operation]
"""

import contextlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import urllib.request

# What the rules of flow.js refuse or take cannot all be said in a schema: `flowTotalSize=` is as
# good as none, and a chunk that no file of that size has is refused.
NOT_CHECKED = "positive_data_acceptance,negative_data_rejection"

# Every kind of caller: its name, and the scopes of its token.
CALLERS = [
    ("public", None),
    ("nobody", None),
    ("upload", "upload"),
    ("read", "read"),
    ("admin", "admin"),
    ("all", "upload,read,admin"),
    ("ticket", None),
    ("disabled", "upload,read,admin"),
]


class Server:
    """A server with data of its own, on a port that was free."""

    def __init__(self, binary, folder, *flags):
        self.flags = [binary, f"--data-dir={folder}"]
        self.settings = list(flags)
        self.process = None
        self.url = None

    def tool(self, *words):
        done = subprocess.run(
            [self.flags[0], *words, *self.flags[1:]], capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    def __enter__(self):
        line = [*self.flags, "--listen=127.0.0.1:0", "--log=warn", *self.settings]
        self.process = subprocess.Popen(line, stderr=subprocess.PIPE, text=True)
        self.said = []
        for line in self.process.stderr:
            self.said.append(line)
            if line.startswith("listening on "):
                self.url = line.removeprefix("listening on ").strip()
                return self
        raise SystemExit("the server did not start: " + "".join(self.said))

    def __exit__(self, *_):
        self.process.terminate()
        _, rest = self.process.communicate(timeout=60)
        # A fault of the server is in its log, also where its client saw none.
        faults = [line for line in rest.splitlines() if " ERROR " in line]
        if faults:
            raise SystemExit("the log has errors:\n" + "\n".join(faults))


def ticket(server, admin):
    """A ticket of the server's own."""
    request = urllib.request.Request(
        server.url + "/tickets",
        data=json.dumps({"sub": "ann", "expires_in": 3600}).encode(),
        headers={"Authorization": f"Bearer {admin}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)["ticket"]


def examine(schemathesis, server, bearer, folder, flags):
    """Runs it; gives the exit status."""
    line = [
        schemathesis, "run", server.url + "/openapi.json", "--no-color", "--warnings=off",
        f"--exclude-checks={NOT_CHECKED}", "--request-timeout=60", "--generation-deterministic",
        "--suppress-health-check=all", *flags,
    ]
    if bearer:
        line += ["-H", f"Authorization: Bearer {bearer}"]
    done = subprocess.run(
        line, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if done.returncode:
        print(done.stdout)
    else:
        # The last lines say how many there were.
        print("\n".join(line for line in done.stdout.splitlines() if "generated" in line))
    return done.returncode


def main(schemathesis, binary, most="10"):
    """Examines one server for each kind of caller."""
    schemathesis, binary = os.path.abspath(schemathesis), os.path.abspath(binary)
    failed = []
    for name, scopes in CALLERS:
        with contextlib.ExitStack() as stack:
            folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
            key = folder / "ticket.key"
            key.write_bytes(os.urandom(32))
            key.chmod(0o600)
            # The public comes where everybody may; nobody, where there are users.
            settings = [] if name == "public" else [f"--ticket-key={key}"]
            server = Server(binary, folder / "data", *settings)
            bearer = server.tool("token", "create", name, f"--scopes={scopes}") if scopes else None
            admin = server.tool("token", "create", "root", "--scopes=admin") if settings else None
            stack.enter_context(server)
            flags = [f"--max-examples={most}", "--phases=coverage,fuzzing,stateful"]
            if name == "ticket":
                bearer = ticket(server, admin)
            if name == "disabled":
                server.tool("user", "disable", name)
                # It waits for every answer, longer and longer.
                flags = ["--max-examples=1", "--phases=fuzzing"]
                flags += ["--include-path-regex=^/(upload|creatives)$"]
            print(f"as {name}: ", end="", flush=True)
            if examine(schemathesis, server, bearer, folder, flags):
                failed.append(name)
    if failed:
        raise SystemExit(f"not as the document says, as {', '.join(failed)}")


if __name__ == "__main__":
    main(*sys.argv[1:])
