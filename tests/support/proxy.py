"""The proxy of tests/tools/proxy.c, which says what each command does."""
import os
import subprocess


class Proxy:
    def __init__(self, tools, target=0):
        self.process = subprocess.Popen([os.path.join(tools, "proxy"), str(target)], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline().split()[1])

    def tell(self, *words):
        """What it answered to the command."""
        self.process.stdin.write(" ".join(map(str, words)) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline().strip()
        if answer not in ("ok", "yes", "no"):
            raise RuntimeError("the proxy says \"%s\" to %s" % (answer, words))
        return answer

    def close(self):
        self.process.stdin.close()
        self.process.wait(timeout=30)
        self.process.stdout.close()
