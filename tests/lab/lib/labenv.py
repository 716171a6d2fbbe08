"""What the lab's Python programs share: the node's env.sh, its network, its admin certificate."""

import ctypes
import os
import ssl
import sys

CLONE_NEWNET = 0x40000000


def read_env(path):
    """The KEY=value lines of a node's env.sh."""
    with open(path, encoding="utf-8") as lines:
        return dict(line.rstrip("\n").split("=", 1) for line in lines if "=" in line)


def enter_network(path):
    """Moves this process into a network namespace; by libc, because Python 3.11 has no os.setns."""
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = os.open(path, os.O_RDONLY)
    if libc.setns(descriptor, CLONE_NEWNET) != 0:
        sys.exit(f"cannot enter {path}: {os.strerror(ctypes.get_errno())}; this needs root")
    os.close(descriptor)


def tls_context(env):
    """A client of the node's API server with the admin certificate."""
    tls = env["LAB_TLS_DIR"]
    context = ssl.create_default_context(cafile=tls + "/ca.crt")
    context.load_cert_chain(tls + "/admin.crt", tls + "/admin.key")
    return context
