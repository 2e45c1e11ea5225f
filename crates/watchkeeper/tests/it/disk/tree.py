"""Fills a server with one of everything, or prints its whole tree.

    tree.py write ADDRESS ROUND   writes below /rROUND, says "ready", keeps its session until killed
    tree.py dump ADDRESS          one JSON object a znode, sorted: path, data, stat, ACL
"""
import json
import signal
import socket
import struct
import sys

from kazoo.client import KazooClient
from kazoo.exceptions import KazooException, RolledBackError
from kazoo.security import make_acl, make_digest_acl

OPEN = struct.pack(">ii", 1, 31) + b"\0\0\0\5world\0\0\0\6anyone"


def connect(address):
    zk = KazooClient(hosts=address, timeout=40)
    zk.start(timeout=30)
    zk.add_auth("digest", "u:p")
    return zk


def write(address, base):
    zk = connect(address)
    zk.create(base, b"top")
    for name, data in [("plain", b"hello"), ("empty", b""), ("big", bytes(range(256)) * 200)]:
        zk.create(base + "/" + name, data)
    zk.create(base + "/\u4e2d\u6587", "\u6570\u636e".encode())
    zk.create(base + "/a/b/c", b"deep", makepath=True)
    for i in range(5):
        zk.create(base + "/a/seq-", str(i).encode(), sequence=True)
    zk.set(base + "/plain", b"changed")
    zk.set(base + "/plain", b"again")
    zk.create(base + "/gone")
    zk.delete(base + "/gone")
    refused = 0
    for call in (lambda: zk.create(base), lambda: zk.delete(base + "/nope"),
                 lambda: zk.set(base, b"", version=77), lambda: zk.create(base + "/x/y")):
        try:
            call()
        except KazooException:
            refused += 1
    assert refused == 4
    acl = [make_digest_acl("u", "p", all=True), make_acl("ip", "127.0.0.1", read=True)]
    zk.create(base + "/acl", b"secret", acl=acl)
    zk.create(base + "/acl/same", b"", acl=acl)
    zk.set_acls(base + "/empty", [make_acl("world", "anyone", read=True, write=True, admin=True)])
    multi = zk.transaction()
    multi.create(base + "/multi", b"1")
    multi.set_data(base + "/multi", b"2")
    multi.check(base + "/multi", 1)
    multi.create(base + "/multi/seq-", b"", sequence=True)
    multi.delete(base + "/big")
    assert not any(isinstance(result, Exception) for result in multi.commit())
    multi = zk.transaction()
    multi.create(base + "/undone", b"1")
    multi.delete(base + "/nope")
    assert isinstance(multi.commit()[0], RolledBackError)
    zk.create(base + "/quota", b"12345")
    zk.create("/zookeeper/quota" + base + "/quota/zookeeper_limits", b"count=5,bytes=1000", makepath=True)
    zk.create("/zookeeper/quota" + base + "/quota/zookeeper_stats", b"count=1,bytes=5")
    zk.create(base + "/quota/more", b"789")
    zk.create(base + "/eph", b"mine", ephemeral=True)
    zk.create(base + "/a/eph-", b"", ephemeral=True, sequence=True)
    other = connect(address)
    other.create(base + "/eph-of-other", ephemeral=True)
    other.stop()
    raw(address, base)
    # Enough of it that snapshots are taken meanwhile.
    for i in range(120):
        zk.create_async(base + "/n%03d" % i, b"x" * i).get(30)
    for i in range(0, 120, 3):
        zk.delete(base + "/n%03d" % i)
    print("ready", flush=True)
    signal.pause()


def raw(address, base):
    """Containers, TTL znodes and null data, which kazoo does not send."""
    host, port = address.split(":")
    s = socket.create_connection((host, int(port)))

    def send(body):
        s.sendall(struct.pack(">i", len(body)) + body)

    def receive():
        def exactly(n):
            got = b""
            while len(got) < n:
                more = s.recv(n - len(got))
                assert more, "connection closed"
                got += more
            return got
        return exactly(struct.unpack(">i", exactly(4))[0])

    def buffer(data):
        return struct.pack(">i", -1) if data is None else struct.pack(">i", len(data)) + data

    def call(xid, op, body):
        send(struct.pack(">ii", xid, op) + body)
        error = struct.unpack(">i", receive()[12:16])[0]
        assert error == 0, (op, error)

    def path(name):
        return buffer((base + name).encode())

    send(struct.pack(">iqiq", 0, 0, 30000, 0) + buffer(b"\0" * 16) + b"\0")
    receive()
    call(1, 1, path("/null") + buffer(None) + OPEN + struct.pack(">i", 0))
    call(2, 19, path("/container") + buffer(b"c") + OPEN + struct.pack(">i", 4))
    call(3, 1, path("/container/child") + buffer(b"") + OPEN + struct.pack(">i", 0))
    call(4, 21, path("/ttl") + buffer(b"t") + OPEN + struct.pack(">iq", 5, 3600000))
    call(5, 21, path("/ttl-") + buffer(None) + OPEN + struct.pack(">iq", 6, 3600000))
    call(6, 15, path("/create2") + buffer(b"2") + OPEN + struct.pack(">i", 0))
    call(7, 5, path("/create2") + buffer(None) + struct.pack(">i", -1))
    send(struct.pack(">ii", 8, -11))
    receive()


def dump(address):
    zk = connect(address)
    found = []
    paths = ["/"]
    while paths:
        at = paths.pop()
        data, stat = zk.get(at)
        acls, _ = zk.get_acls(at)
        acls = [[a.perms, a.id.scheme, a.id.id] for a in acls]
        found.append(json.dumps([at, None if data is None else data.hex(), list(stat), acls]))
        paths += [at.rstrip("/") + "/" + name for name in zk.get_children(at)]
    print("\n".join(sorted(found)))
    zk.stop()


if __name__ == "__main__":
    if sys.argv[1] == "write":
        write(sys.argv[2], "/r" + sys.argv[3])
    else:
        dump(sys.argv[2])
