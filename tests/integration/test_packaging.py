#!/usr/bin/env python3
"""The Dockerfile and the compose file, as far as they can be checked without an engine.

usage: test_packaging.py PROGRAM

docker-compose checks the compose file against its own schema. The Dockerfile's packages are those that the build needs
and those of the libraries that the program is linked with; on the image's own release apt must know them all.
(scripts/fresh trixie --image runs its steps.)
"""
import os
import re
import shutil
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
program = sys.argv[1]
faults = []


def expect(truth, fault):
    if not truth:
        faults.append(fault)


def output(*command, **options):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, **options).stdout


def steps(path):
    """The Dockerfile's instructions, with continued lines joined."""
    with open(path, encoding="utf-8") as lines:
        text = re.sub(r"\\\n", " ", lines.read())
    for line in text.splitlines():
        if line.strip() and not line.startswith("#"):
            word, rest = line.split(None, 1)
            yield word, rest


def stages(path):
    found = []
    for word, rest in steps(path):
        if word == "FROM":
            found.append([])
        found[-1].append((word, rest))
    return found


def packages(stage):
    names = []
    for word, rest in stage:
        match = re.search(r"apt-get install -y --no-install-recommends ([^&]*)", rest) if word == "RUN" else None
        names += match.group(1).split() if match else []
    return names


def check_compose():
    import yaml  # not there when scripts/fresh only wants the steps

    path = os.path.join(ROOT, "docker-compose.yml")
    done = subprocess.run(["docker-compose", "-f", path, "config", "-q"], stderr=subprocess.PIPE, text=True)
    expect(done.returncode == 0, "docker-compose.yml: %s" % done.stderr)
    with open(path, encoding="utf-8") as lines:
        compose = yaml.safe_load(lines)
    services = compose["services"]
    expect({"postgres", "redis", "kafka", "meowmx"} <= set(services), "docker-compose.yml: a service is missing")
    for name, service in services.items():
        expect(not service.get("image", "").endswith(":latest"), "%s: an image without a version" % name)
        for port in service.get("ports", []):
            expect(port.startswith("127.0.0.1:"), "%s: port %s is open to the network" % (name, port))
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            if source.startswith("."):
                expect(os.path.exists(os.path.join(ROOT, source)), "%s: there is no %s" % (name, source))
            else:
                expect(source in compose["volumes"], "%s: volume %s is not declared" % (name, source))
        for other in service.get("depends_on", {}):
            expect(other in services, "%s depends on %s, which is no service" % (name, other))
    return services


def check_configuration(services):
    path = os.path.join(ROOT, "deploy", "meowmx.yaml")
    environment = dict(os.environ, MEOWMX_STORE_URL=re.sub(r"\$\{.*?\}", "x",
                                                          services["meowmx"]["environment"]["MEOWMX_STORE_URL"]))
    done = subprocess.run([program, "config", "check", "-c", path], env=environment, stderr=subprocess.PIPE, text=True)
    expect(done.returncode == 0, "deploy/meowmx.yaml: %s" % done.stderr)
    with open(path, encoding="utf-8") as lines:
        text = lines.read()
    for host in re.findall(r"(?://|\")(\w+):\d+", text):
        expect(host in services, "deploy/meowmx.yaml names %s, which is no service" % host)
    port = re.search(r"listen: \S+:(\d+)", text).group(1)
    expect(services["meowmx"]["ports"] == ["127.0.0.1:%s:%s" % (port, port)], "the published port is not http.listen's")


def check_build_packages(stage):
    known = set()
    with open(os.path.join(ROOT, "scripts", "packages"), encoding="utf-8") as lines:
        block = re.search(r'\[build\]="([^"]*)"', lines.read()).group(1)
    alternatives = [set(word.split("|")) for word in block.split()]
    for names in alternatives:
        known |= names
        expect(names & set(packages(stage)), "Dockerfile: the build needs %s" % " or ".join(sorted(names)))
    expect(set(packages(stage)) <= known, "Dockerfile: scripts/packages lacks %s" % (set(packages(stage)) - known))


PACKAGE_OF = {"libhiredis-ssl": "libhiredis", "libcrypto": "libssl"}


def check_runtime_packages(stage):
    names = packages(stage)
    for soname in re.findall(r"\(NEEDED\).*\[(.*?)\]", output("readelf", "-d", program)):
        stem = re.sub(r"[-.0-9]*\.so.*", "", soname).replace("_", "-").replace("msgpackc", "msgpack")
        if stem not in ("libc", "libm"):
            expect(any(name.startswith(PACKAGE_OF.get(stem, stem)) for name in names), "Dockerfile: no package of %s" % soname)
    users = [rest for word, rest in stage if word == "USER"]
    expect(users and not users[-1].startswith(("0", "root")), "Dockerfile: the program runs as root")


def check_release(all_stages):
    """Package names differ between releases: apt is asked where it is the image's."""
    with open("/etc/os-release", encoding="utf-8") as lines:
        release = re.search(r"VERSION_CODENAME=(\w+)", lines.read())
    for stage in all_stages:
        image = stage[0][1].split()[0]
        expect(image == "debian:trixie-slim", "Dockerfile: %s is not the release that is tested" % image)
        if release and release.group(1) == "trixie" and shutil.which("apt-cache"):
            for name in packages(stage):
                found = re.search(r"Candidate: [^(]", output("apt-cache", "policy", name))
                expect(found, "Dockerfile: apt knows no %s" % name)


def main():
    if sys.argv[2:] == ["--steps"]:  # for scripts/fresh
        for word, rest in steps(os.path.join(ROOT, "Dockerfile")):
            print("%s\t%s" % (word, rest))
        return 0
    found = stages(os.path.join(ROOT, "Dockerfile"))
    check_configuration(check_compose())
    check_build_packages(found[0])
    check_runtime_packages(found[-1])
    check_release(found)
    for fault in faults:
        print(fault)
    return 1 if faults else 0


sys.exit(main())
