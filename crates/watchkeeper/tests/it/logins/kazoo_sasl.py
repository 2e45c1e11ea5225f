"""kazoo with a login by SASL: HOST:PORT USER PASSWORD. Prints who it is, or why it is not let in."""

import sys

from kazoo.client import KazooClient
from kazoo.exceptions import AuthFailedError, NoAuthError
from kazoo.security import make_acl

hosts, user, password = sys.argv[1:4]
options = {"mechanism": "DIGEST-MD5", "username": user, "password": password}
client = KazooClient(hosts=hosts, sasl_options=options, timeout=10)
try:
    client.start(timeout=15)
    path = "/of-" + user
    client.create(path, b"x", acl=[make_acl("auth", "", all=True)])
except AuthFailedError:
    # Told by the start or by the first request, whichever waits when it comes.
    print("refused")
    sys.exit(0)
for acl in client.get_acls(path)[0]:
    print(acl.id.scheme, acl.id.id, acl.perms)
client.create("/other-" + user, b"", acl=[make_acl("sasl", "nobody", read=True)])
try:
    client.get("/other-" + user)
    print("read")
except NoAuthError:
    print("no auth")
client.stop()
client.close()
