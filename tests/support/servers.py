"""Real servers for tests in Python: the twin of server.h, over scripts/server.

A server that cannot be started raises, which fails the test. All of them end when the process does, however it ends.
"""
import atexit
import os
import shutil
import subprocess
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SCRIPT = os.path.join(ROOT, "scripts", "server")

_servers = []
_scratch = None


def scratch():
    """A folder of this process's own, which others may read, removed at its end."""
    global _scratch
    if _scratch is None:
        _scratch = tempfile.mkdtemp(prefix="meowmx-test-")
        os.chmod(_scratch, 0o755)
        atexit.register(_clean_up)
    return _scratch


def _clean_up():
    for server in list(_servers):
        server.close()
    shutil.rmtree(_scratch, ignore_errors=True)


def _runs(pid):
    try:
        with open("/proc/%d/stat" % pid, encoding="utf-8", errors="replace") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


class Server:
    """Server("redis", "maxmemory=50mb"): settings are texts "key=value"."""

    count = 0

    def __init__(self, kind, *settings):
        Server.count += 1
        self.kind = kind
        self.folder = os.path.join(scratch(), "%s-%d" % (kind, Server.count))
        self._run("start", kind, self.folder, *settings)
        _servers.append(self)

    def _run(self, *arguments):
        environment = dict(os.environ, MEOWMX_SERVER_PARENT=str(os.getpid()))
        done = subprocess.run([SCRIPT, *arguments], env=environment, stdout=subprocess.PIPE, text=True)
        if done.returncode != 0:
            raise RuntimeError("scripts/server %s failed" % " ".join(arguments))
        for line in done.stdout.splitlines():
            name, _, value = line.partition("=")
            setattr(self, name, int(value) if name in ("port", "pid") else value)

    def stop(self):
        """Ends it in its own orderly way; the data stays for again()."""
        self._run("stop", self.folder)

    def set_down(self):
        """Has ended, or is about to, by other means: waits for that."""
        end = time.monotonic() + 30
        while time.monotonic() < end and _runs(self.pid):
            time.sleep(0.02)
        self.kill()

    def kill(self):
        self._run("kill", self.folder)

    def again(self):
        self._run("again", self.folder)

    def restart(self):
        self._run("restart", self.folder)

    def log(self):
        with open(os.path.join(self.folder, "log"), encoding="utf-8", errors="replace") as log:
            return log.read()

    def close(self):
        """Ends it at once and removes its data."""
        _servers.remove(self)
        self._run("kill", self.folder)
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
