#!/usr/bin/env python3
"""Checks who may know whom.

    layering.py SOURCE_ROOT NM LIBRARY...     the rules below, over the sources and over the built libraries
    layering.py --self-test                   that each rule finds what it is for

Modules stand in an order; each includes only headers of itself and of those above it in ORDER. A client library is
included only where LIBRARIES says. The core takes time, chance, threads and I/O through interfaces alone: of the C
library its objects may call only what CORE_MAY_CALL lists, which the linker's own table of symbols shows, whatever the
sources look like.
"""
import os
import re
import subprocess
import sys
import tempfile

ORDER = ["base", "loop", "store", "app", "config", "metrics", "verify", "relay", "connectors", "cli"]

# Where a library's headers (by regular expression) may be included.
LIBRARIES = [
    (r"event2?/|event\.h|evhttp\.h", ["src/loop"]),
    (r"libpq|postgres_ext\.h|pg_config\.h", ["src/store/postgres"]),
    (r"sqlite3", ["src/store/sqlite"]),
    (r"hiredis/adapters/libevent\.h", ["connectors/redis"]),
    (r"hiredis", ["connectors/redis", "src/verify/redis_reach.h", "src/verify/redis_reach.c"]),
    (r"openssl/", ["connectors/redis", "src/verify/redis_reach.c"]),
    (r"librdkafka/", ["connectors/kafka", "src/verify/sink_kafka.c"]),
    (r"yaml\.h", ["src/config"]),
    (r"msgpack", ["src/relay"]),
    (r"yajl/", ["src/relay", "src/cli", "src/verify", "connectors/kafka"]),
]

# Headers inside a module that only these folders may include.
PRIVATE = [
    (r"loop/loop_(impl|event)\.h", ["src/loop"]),
    (r"store/postgres/|store_postgres_", ["src/store/postgres"]),
    (r"store/sqlite/|store_sqlite_", ["src/store/sqlite"]),
    (r"relay/route_private\.h", ["src/relay"]),
    (r"app/subscription_private\.h", ["src/app"]),
    (r"config/(arena|loader|problems|section|settings|substitute|value|yaml_tree)\.h", ["src/config"]),
]
# The connector that lives on hiredis' libevent adapter needs the loop's base.
PRIVATE_EXCEPT = {"loop/loop_event.h": ["connectors/redis", "connectors/kafka"]}

C_LIBRARY = set("""assert ctype dirent endian errno fcntl float grp inttypes langinfo limits locale malloc math netdb poll
pthread pwd sched semaphore setjmp signal stdalign stdarg stdatomic stdbool stddef stdint stdio stdlib stdnoreturn string
strings sysexits termios threads time unistd wchar getopt syslog spawn glob fnmatch libgen ftw""".split())

# The core: what the simulator drives. Objects by the names of their sources.
CORE = ["window.c", "backoff.c", "lease.c", "partition.c", "route.c", "route_lease.c", "route_open.c", "route_run.c",
        "route_watch.c", "template.c", "encoder.c", "envelope.c", "json_text.c", "msgpack_event.c", "batch.c", "fingerprint.c", "settled.c", "session.c", "follow.c"]
CORE_MAY_CALL = set("""
calloc malloc realloc free strdup
bcmp memchr memcmp memcpy memmem memmove memset
strchr strcmp strcspn strlen strncmp strnlen strrchr strspn strstr
strtod strtol strtoll strtoul strtoull snprintf vsnprintf
bsearch qsort
""".split())
# Our own functions (by prefix), the JSON and MessagePack libraries, and what compilers add.
CORE_MAY_LINK = re.compile(
    r"(backoff|batch|buffer|bytes|connector|encoder|envelope|error|fingerprint|follow|json_text|lease|log|loop|metrics|"
    r"msgpack|msgpack_event|partition|route|session|settled|template|text|window|yajl)_\w+$|"
    r"_GLOBAL_OFFSET_TABLE_$|__stack_chk_fail$|__(asan|ubsan|tsan|msan|sanitizer|gcov|llvm|cov)_\w+$|__start_|__stop_")
# Calls that block or look at the outside, in a module whose name would let them pass above.
LOOP_FORBIDDEN = {"loop_create", "loop_run"}


def module_of(path):
    parts = path.split("/")
    if parts[0] == "connectors":
        return "connectors"
    return parts[1] if parts[0] == "src" and len(parts) > 2 else None


def folder_in(path, folders):
    return any(path == folder or path.startswith(folder + "/") for folder in folders)


def check_system(path, name):
    for pattern, folders in LIBRARIES:
        if re.match(pattern, name):
            if not folder_in(path, folders):
                yield f"includes <{name}>, which only {' and '.join(folders)} may"
            return
    stem = name[:-2] if name.endswith(".h") else name
    if not (stem in C_LIBRARY or re.match(r"(sys|netinet|arpa|linux|net)/", name)):
        yield f"includes <{name}>, of a library that tests/layering does not know"


def check_own(path, name):
    module = module_of(path)
    if name.startswith("connectors/"):
        theirs = "/".join(name.split("/")[:2])
        if module == "cli" or folder_in(path, [theirs]):
            return
        yield f'includes "{name}", of a connector that is not itself'
        return
    for pattern, folders in PRIVATE:
        if re.match(pattern, name) and not folder_in(path, folders + PRIVATE_EXCEPT.get(name, [])):
            yield f'includes "{name}", which is private to {" and ".join(folders)}'
            return
    owner = name.split("/")[0]
    if "/" not in name or module is None:
        return  # meowmx.h, or generated, or of the same folder
    if owner not in ORDER:
        yield f'includes "{name}", of a module that tests/layering does not know'
    elif ORDER.index(owner) > ORDER.index(module):
        yield f'includes "{name}", although {owner} stands above {module}'


def check_sources(root):
    for top in ("src", "connectors"):
        for folder, _, names in os.walk(os.path.join(root, top)):
            for name in sorted(names):
                if not name.endswith((".c", ".h")):
                    continue
                path = os.path.relpath(os.path.join(folder, name), root)
                with open(os.path.join(root, path), encoding="utf-8") as file:
                    for number, line in enumerate(file, 1):
                        system = re.match(r"\s*#\s*include\s*<([^>]+)>", line)
                        own = re.match(r'\s*#\s*include\s*"([^"]+)"', line)
                        found = check_system(path, system[1]) if system else check_own(path, own[1]) if own else ()
                        for what in found:
                            yield f"{path}:{number}: {what}"


def plain(symbol):
    """The C library's own name of what fortified and 64-bit builds call."""
    symbol = symbol.split("@")[0]
    for pattern in (r"__isoc(?:99|23)_(\w+)", r"__(\w+)_chk", r"(\w+)64"):
        match = re.fullmatch(pattern, symbol)
        if match:
            return match[1]
    return symbol


def check_symbols(listing, seen):
    member = None
    for line in listing.splitlines():
        if line.endswith(":"):
            # libstore.a.p/follow.c.o, or follow.c.o in an archive of its own
            member = re.sub(r"\.o$", "", os.path.basename(line[:-1]).rstrip("]").split("[")[-1])
            continue
        if member not in CORE:
            continue
        seen.add(member)
        symbol = line.split()[-1] if line.split() else ""
        if not symbol or plain(symbol) in CORE_MAY_CALL:
            continue
        if symbol in LOOP_FORBIDDEN or not CORE_MAY_LINK.match(symbol):
            yield f"{member} calls {symbol}(): the core takes time, chance, threads and I/O through interfaces alone"


def check_libraries(nm, libraries):
    seen = set()
    for library in libraries:
        listing = subprocess.run([nm, "-u", library], check=True, capture_output=True, text=True).stdout
        yield from check_symbols(listing, seen)
    for missing in sorted(set(CORE) - seen):
        yield f"{missing} is part of the core, and none of the libraries has it"


def self_test():
    wrong = {
        "src/base/text.c": '#include "loop/loop.h"\n',
        "src/store/follow.c": '#include "relay/window.h"\n',
        "src/store/session.c": "#include <libpq-fe.h>\n",
        "src/relay/route.c": "#include <event2/event.h>\n",
        "src/relay/window.c": '#include "connectors/file/file.h"\n',
        "src/relay/executor.c": '#include "loop/loop_event.h"\n',
        "src/cli/main.c": '#include "store/postgres/pg.h"\n',
        "connectors/file/file.c": "#include <hiredis/hiredis.h>\n",
        "src/verify/merge.c": '#include "relay/encoder.h"\n',
        "src/verify/sink_file.c": "#include <hiredis/hiredis.h>\n",
        "connectors/redis/redis.c": '#include "connectors/file/file_log.h"\n',
        "src/metrics/metrics.c": "#include <newlib/new.h>\n",
        "src/config/config.h": '  #  include "metrics/metrics.h"\n',
    }
    right = {
        "src/verify/redis_reach.h": '#include <hiredis/hiredis.h>\n#include "config/config.h"\n',
        "src/loop/http.c": '#include <event2/event.h>\n#include "loop/loop_event.h"\n#include "base/buffer.h"\n',
        "src/store/postgres/pg.h": '#include <libpq-fe.h>\n#include "store/store.h"\n',
        "src/cli/routes.c": '#include "connectors/kafka/kafka.h"\n#include "relay/relay.h"\n#include <yajl/yajl_parse.h>\n',
        "connectors/redis/redis_wire.c": '#include "connectors/redis/redis_part.h"\n#include "relay/connector.h"\n',
    }
    with tempfile.TemporaryDirectory() as root:
        for path, text in {**wrong, **right}.items():
            os.makedirs(os.path.dirname(os.path.join(root, path)), exist_ok=True)
            with open(os.path.join(root, path), "w", encoding="utf-8") as file:
                file.write(text)
        found = {problem.split(":")[0] for problem in check_sources(root)}
    assert found == set(wrong), f"found {sorted(found)}"

    def calls(text):
        return [problem.split()[2] for problem in check_symbols(text, set())]
    assert calls("librelay.a.p/route.c.o:\n   U strlen\n   U clock_gettime\n   U loop_now_us\n") == ["clock_gettime():"]
    assert calls("follow.c.o:\n   U __memcpy_chk\n   U random\n   U usleep\n") == ["random():", "usleep():"]
    assert calls("libstore.a[window.c.o]:\n   U pthread_create\n   U loop_run\n") == ["pthread_create():", "loop_run():"]
    assert calls("executor.c.o:\n   U pthread_create\n") == []


def main():
    if sys.argv[1:] == ["--self-test"]:
        self_test()
        return 0
    root, nm, libraries = sys.argv[1], sys.argv[2], sys.argv[3:]
    problems = list(check_sources(root)) + list(check_libraries(nm, libraries))
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
