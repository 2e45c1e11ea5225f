"""contend.py HOST:PORT: one holder and two waiters of a lock, and a queue of four items of which one
is being worked on, as long as this process is. On SIGTERM its sessions are closed."""
import signal
import sys
import threading

from kazoo.client import KazooClient

clients = [KazooClient(hosts=sys.argv[1], timeout=10) for _ in range(3)]
for client in clients:
    client.start(timeout=30)
clients[0].Lock("/kazoo/lock", "holder").acquire()
for waiter in clients[1:]:
    lock = waiter.Lock("/kazoo/lock", "waiter")
    threading.Thread(target=lock.acquire, daemon=True).start()
queue = clients[0].LockingQueue("/kazoo/queue")
for number in range(4):
    queue.put(b"item %d" % number)
assert queue.get(timeout=30) is not None
end = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: end.set())
while len(clients[0].Lock("/kazoo/lock").contenders()) < 3 and not end.wait(0.05):
    pass
print("ready", flush=True)
end.wait()
for client in clients:
    client.stop()
