"""clients.py KIND ARGS: the clients of an ensemble under trial, good and bad. Prints `ready` once.

load HOSTS RATE SIZE        writes RATE times a second, SIZE bytes each, one session a host
node HOSTS PATH TIMEOUT     a node of the registry (kazoo), alive as long as this process
flap HOSTS PATH TIMEOUT     a node whose session is lost and made anew again and again (kazoo)
forget HOSTS                takes all nodes off the registry (kazoo)
leak HOST COUNT             opens connections to one host and keeps them
churn HOST RATE             sessions that vanish without a word, RATE a second
wave HOSTS COUNT TIMEOUT    sessions that live until this process is killed
flood HOSTS COUNT           creates that many znodes below /flood, some 4000 a second
"""
import socket
import struct
import sys
import threading
import time


def address(host):
    name, _, port = host.rpartition(":")
    return name, int(port)


class Raw:
    """A session on a socket of its own; no pings but those it is told to send."""

    def __init__(self, host, timeout_ms=10000):
        self.socket = socket.create_connection(address(host), 10)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.frame(struct.pack(">iqiqi16s?", 0, 0, timeout_ms, 0, 16, b"", False))
        self.read()

    def frame(self, body):
        self.socket.sendall(struct.pack(">i", len(body)) + body)

    def exactly(self, size):
        data = b""
        while len(data) < size:
            more = self.socket.recv(size - len(data))
            if not more:
                raise ConnectionError("closed")
            data += more
        return data

    def read(self):
        return self.exactly(struct.unpack(">i", self.exactly(4))[0])

    def ping(self):
        self.frame(struct.pack(">ii", -2, 11))
        self.read()

    def create(self, path, data):
        name, scheme, who = path.encode(), b"world", b"anyone"
        acl = struct.pack(">ii", 1, 31) + struct.pack(">i", len(scheme)) + scheme
        acl += struct.pack(">i", len(who)) + who
        body = struct.pack(">ii", 1, 1) + struct.pack(">i", len(name)) + name
        body += struct.pack(">i", len(data)) + data + acl + struct.pack(">i", 0)
        self.frame(body)

    def set(self, path, data):
        name = path.encode()
        body = struct.pack(">ii", 1, 5) + struct.pack(">i", len(name)) + name
        self.frame(body + struct.pack(">i", len(data)) + data + struct.pack(">i", -1))


def ready():
    print("ready", flush=True)


def load(hosts, rate, size):
    hosts, data = hosts.split(","), b"x" * int(size)
    pause = len(hosts) / float(rate)
    begun = threading.Barrier(len(hosts) + 1)

    def one(host):
        first = True
        while True:
            try:
                session = Raw(host)
                session.create("/load", b"")
                session.read()
                if first:
                    begun.wait()
                    first = False
                while True:
                    session.set("/load", data)
                    session.read()
                    time.sleep(pause)
            except (OSError, struct.error):
                time.sleep(0.5)

    for host in hosts:
        threading.Thread(target=one, args=(host,), daemon=True).start()
    begun.wait()
    ready()
    threading.Event().wait()


def join(client, path):
    from kazoo.exceptions import NodeExistsError

    client.ensure_path("/nodes/" + path)
    while True:
        try:
            client.create("/nodes/" + path + "/alive", ephemeral=True)
            return
        except NodeExistsError:
            time.sleep(0.1)


def node(hosts, path, timeout):
    from kazoo.client import KazooClient

    client = KazooClient(hosts=hosts, timeout=float(timeout))
    lost = threading.Event()
    client.add_listener(lambda state: lost.set() if state == "LOST" else None)
    client.start(timeout=30)
    join(client, path)
    ready()
    while True:
        # A real node comes back after its session was lost; its loss has been told by then.
        if lost.wait(0.5) and client.connected:
            lost.clear()
            join(client, path)


def flap(hosts, path, timeout):
    """Each life is a process of its own that is killed, so that its session expires."""
    import subprocess

    first = True
    while True:
        life = subprocess.Popen(
            [sys.executable, __file__, "node", hosts, path, timeout], stdout=subprocess.PIPE
        )
        life.stdout.readline()
        if first:
            ready()
            first = False
        time.sleep(1)
        life.kill()
        life.wait()


def forget(hosts):
    from kazoo.client import KazooClient

    client = KazooClient(hosts=hosts)
    client.start(timeout=30)
    client.delete("/nodes", recursive=True)
    client.stop()
    ready()
    threading.Event().wait()


def leak(host, count):
    # The limit is per address: one of its own keeps the monitor's connections out of it.
    own, held = ("127.0.0.5", 0), []

    def one():
        try:
            held.append(socket.create_connection(address(host), 5, source_address=own))
        except OSError:
            pass

    for _ in range(int(count)):
        one()
    ready()
    while True:
        # The leak goes on: refused ones are tried again, as a leaking program does.
        time.sleep(0.2)
        one()


def churn(host, rate):
    ready()
    while True:
        try:
            Raw(host, 4000).socket.close()
        except (OSError, struct.error):
            pass
        time.sleep(1 / float(rate))


def wave(hosts, count, timeout):
    hosts = hosts.split(",")
    made = [Raw(hosts[n % len(hosts)], int(float(timeout) * 1000)) for n in range(int(count))]
    ready()
    while True:
        for session in made:
            session.ping()
        time.sleep(1)


def flood(hosts, count):
    hosts, each = hosts.split(","), int(count) // 4
    parent = Raw(hosts[0])
    parent.create("/flood", b"")
    parent.read()

    def one(number):
        sent = 0
        while sent < each:
            try:
                session = Raw(hosts[number % len(hosts)], 30000)
                while sent < each:
                    batch = min(200, each - sent)
                    for n in range(sent, sent + batch):
                        session.create("/flood/%d-%d" % (number, n), b"")
                    for _ in range(batch):
                        session.read()
                    sent += batch
                    # A flood of znodes, not of requests.
                    time.sleep(0.2)
            except (OSError, struct.error):
                # What was made already is refused, which is an answer too.
                time.sleep(0.5)

    threads = [threading.Thread(target=one, args=(n,), daemon=True) for n in range(4)]
    for thread in threads:
        thread.start()
    ready()
    threading.Event().wait()


if __name__ == "__main__":
    kinds = dict(load=load, node=node, flap=flap, forget=forget)
    kinds.update(leak=leak, churn=churn, wave=wave, flood=flood)
    kinds[sys.argv[1]](*sys.argv[2:])
