"""An installed copy of the library, and programs that are built against it as the docs say: with pkg-config."""
import os
import shlex
import subprocess

from servers import scratch


class Installed:
    def __init__(self, build):
        self.folder = os.path.join(scratch(), "installed")
        subprocess.run(["meson", "install", "-C", build, "--no-rebuild", "--quiet", "--destdir", self.folder],
                       check=True, stdout=subprocess.DEVNULL)
        for folder, _, names in os.walk(self.folder):
            if "meowmx.pc" in names:
                self.pkgconfig = folder
        # The prefix that it was made for lies below the folder that it was put in.
        with open(os.path.join(self.pkgconfig, "meowmx.pc"), encoding="utf-8") as lines:
            self.prefix = self.folder + next(line for line in lines if line.startswith("prefix="))[7:].strip()
        self.environment = dict(os.environ, LD_LIBRARY_PATH=os.path.dirname(self.pkgconfig))

    def flags(self, package):
        command = ["pkg-config", "--cflags", "--libs"]
        if package == "meowmx":
            command.append("--define-variable=prefix=" + self.prefix)
        environment = dict(os.environ, PKG_CONFIG_PATH=self.pkgconfig)
        return shlex.split(subprocess.run(command + [package], env=environment, check=True, stdout=subprocess.PIPE,
                                          text=True).stdout)

    def build(self, source, packages=("meowmx",)):
        """The program made of the C file."""
        program = os.path.join(scratch(), os.path.splitext(os.path.basename(source))[0])
        subprocess.run(["cc", "-std=gnu11", "-Wall", "-Wextra", "-Werror", "-g", source, "-o", program] +
                       [flag for package in packages for flag in self.flags(package)], check=True)
        return program
