"""kazoo over TLS: HOST:PORT CA [CERTIFICATE KEY]. Prints who it is, or that it was not let in."""

import sys

from kazoo.client import KazooClient
from kazoo.exceptions import NoAuthError
from kazoo.handlers.threading import KazooTimeoutError
from kazoo.security import make_acl

hosts, ca = sys.argv[1:3]
identity = sys.argv[3:5]
options = {"certfile": identity[0], "keyfile": identity[1]} if identity else {}
client = KazooClient(hosts=hosts, use_ssl=True, ca=ca, timeout=10, **options)
try:
    client.start(timeout=15 if identity else 3)
except KazooTimeoutError:
    print("not let in")
    client.stop()
    client.close()
    sys.exit(0)
mine = make_acl("auth", "", all=True)
client.create("/kazoo", b"x" * 300_000, acl=[mine])
data, stat = client.get("/kazoo")
print(len(data), stat.version)
for acl in client.get_acls("/kazoo")[0]:
    print(acl.id.scheme, acl.id.id, acl.perms)
other = make_acl("x509", "CN=other", read=True)
client.create("/other", b"", acl=[other])
try:
    client.get("/other")
except NoAuthError:
    print("no auth")
client.stop()
client.close()
