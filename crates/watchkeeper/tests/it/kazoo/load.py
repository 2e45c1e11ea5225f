"""Writes to a server until it dies, or checks afterwards that nothing acknowledged is lost.

load.py write ADDRESS ROUND JOURNAL: writes until the connection is lost. Each line of the journal is
"try KEY OP PATH VALUE" before a request is sent, "ack KEY ZXID" when its reply is there.
load.py check ADDRESS JOURNAL..: reads everything back; the last line says how many facts held.
"""
import os
import sys
import threading

from kazoo.client import KazooClient
from kazoo.exceptions import KazooException, NoNodeError

THREADS = 4
PIPELINED = 32


class Journal:
    def __init__(self, path):
        self.file = open(path, "a", buffering=1)
        self.lock = threading.Lock()

    def line(self, text):
        with self.lock:
            self.file.write(text + "\n")


def connect(address):
    client = KazooClient(address, timeout=10)
    client.start(timeout=60)
    return client


def write(address, number, path):
    journal = Journal(path)
    # Clients that are gone when the server is: the process ends with the first lost connection.
    clients = [connect(address) for _ in range(THREADS + 1)]
    for client in clients:
        client.add_listener(lambda state: state != "CONNECTED" and os._exit(0))
    clients[0].ensure_path("/round%s" % number)
    threads = [
        threading.Thread(target=one_by_one, args=(client, number, n, journal))
        for n, client in enumerate(clients[:-1])
    ]
    threads.append(threading.Thread(target=pipelined, args=(clients[-1], number, journal)))
    for thread in threads:
        thread.daemon = True
        thread.start()
    for thread in threads:
        thread.join()
    os._exit(0)


def one_by_one(client, number, n, journal):
    """Creates, sets and deletes below a node of its own, one request at a time."""
    top = "/round%s/t%d" % (number, n)
    try:
        client.create(top, b"")
        i = 0
        while True:
            path, value = "%s/%d" % (top, i), "%d-%d" % (n, i)
            request(journal, "create", path, value, lambda: client.create(path, value.encode()))
            if i % 3 == 0:
                again = value + "-again"
                request(journal, "set", path, again, lambda: client.set(path, again.encode()))
            if i % 5 == 4:
                old = "%s/%d" % (top, i - 2)
                request(journal, "delete", old, "-", lambda: client.delete(old))
            if i % 7 == 6:
                pair = ["%s/m%d-%d" % (top, i, k) for k in (0, 1)]
                transaction = client.transaction()
                for one in pair:
                    transaction.create(one, value.encode())
                request(journal, "multi", ",".join(pair), value, transaction.commit)
            i += 1
    except KazooException:
        pass


def request(journal, op, path, value, send):
    key = "%s:%s" % (op, path)
    journal.line("try %s %s %s %s" % (key, op, path, value))
    send()
    journal.line("ack %s" % key)


def pipelined(client, number, journal):
    """Keeps many creates in flight on one session."""
    top = "/round%s/p" % number
    try:
        client.create(top, b"")
        room = threading.Semaphore(PIPELINED)
        i = 0
        while True:
            room.acquire()
            path, value = "%s/%d" % (top, i), "p-%d" % i
            key = "create:" + path
            journal.line("try %s create %s %s" % (key, path, value))

            def done(result, key=key):
                if result.successful():
                    journal.line("ack " + key)
                room.release()

            client.create_async(path, value.encode()).rawlink(done)
            i += 1
    except KazooException:
        pass


def check(address, paths):
    want = {}  # path -> set of values that it may have; None: absent
    acked = 0
    for path in paths:
        tries, acks = [], set()
        with open(path) as file:
            for line in file:
                words = line.split()
                if words[0] == "try" and len(words) == 5:
                    tries.append(words[1:])
                elif words[0] == "ack" and len(words) == 2:
                    acks.add(words[1])
        for key, op, names, value in tries:
            after = None if op == "delete" else value
            sure = key in acks
            acked += sure
            for name in names.split(","):
                want[name] = {after} if sure else want.get(name, {None}) | {after}
            if op == "multi" and not sure:
                want[names] = want.pop(names.split(",")[0]), want.pop(names.split(",")[1])
    client = connect(address)

    def have(name):
        try:
            return client.get(name)[0].decode()
        except NoNodeError:
            return None

    wrong = 0
    for name, values in want.items():
        if "," in name:
            # An unanswered multi: both or none.
            first, second = [have(one) for one in name.split(",")]
            bad = first != second
            found = (first, second)
        else:
            found = have(name)
            bad = found not in values
        if bad:
            wrong += 1
            print("%s: is %r, may be %r" % (name, found, values))
    print("%d acknowledged, %d nodes, %d wrong" % (acked, len(want), wrong))
    client.stop()
    sys.exit(1 if wrong else 0)


if sys.argv[1] == "write":
    write(sys.argv[2], sys.argv[3], sys.argv[4])
else:
    check(sys.argv[2], sys.argv[3:])
