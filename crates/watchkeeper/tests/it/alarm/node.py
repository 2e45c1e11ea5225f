"""node.py HOST:PORT PATH TIMEOUT: a node of the registry, alive as long as this process is.

On SIGTERM it closes its session: it leaves."""
import signal
import sys
import threading

from kazoo.client import KazooClient

hosts, path, timeout = sys.argv[1], sys.argv[2], float(sys.argv[3])
client = KazooClient(hosts=hosts, timeout=timeout)
client.start(timeout=30)
client.ensure_path("/nodes/" + path)
client.create("/nodes/" + path + "/alive", ephemeral=True)
print("alive %x" % client.client_id[0], flush=True)
end = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: end.set())
end.wait()
client.stop()
client.close()
print("closed", flush=True)
