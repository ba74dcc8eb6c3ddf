# pymemcache against a server that speaks memcached: memcached.py PORT
import time
import sys

from pymemcache import serde
from pymemcache.client.base import Client, PooledClient
from pymemcache.client.hash import HashClient
from pymemcache.exceptions import MemcacheClientError

address = ("127.0.0.1", int(sys.argv[1]))
client = Client(address, default_noreply=False, timeout=10)
assert client.flush_all() is True
assert client.get("k") is None and client.get("k", default=b"none") == b"none"
assert client.set("k", "v") is True and client.get("k") == b"v"
assert client.add("k", "w") is False and client.replace("k", "w") is True and client.get("k") == b"w"
assert client.append("k", "x") is True and client.prepend("k", "v") is True and client.get("k") == b"vwx"
value, cas = client.gets("k")
assert value == b"vwx" and client.cas("k", "y", cas) is True and client.cas("k", "z", cas) is False
assert client.cas("nosuch", "z", cas) is None
assert client.set("n", "10") and client.incr("n", 5) == 15 and client.decr("n", 20) == 0 and client.incr("nosuch", 1) is None
assert client.touch("k", 100) is True and client.touch("nosuch", 100) is False
assert client.get("k") == b"y"
assert client.delete("k") is True and client.delete("k") is False
many = {f"key:{n}": str(n).encode() for n in range(500)}
assert client.set_many(many) == [] and client.get_many(list(many) + ["nosuch"]) == many
assert client.gets_many(["key:1", "key:2"]).keys() == {"key:1", "key:2"}
assert client.delete_many(["key:1", "key:2"]) is True and client.get_many(["key:1", "key:3"]) == {"key:3": b"3"}
large = b"v" * (1_000_000)
assert client.set("large", large) and client.get("large") == large
assert client.set("gone", "v", expire=-1) is True and client.get("gone") is None
client.set("quiet", "v", noreply=True)
assert client.get("quiet") == b"v"
# A slot on its way is counted at neither node for a moment.
deadline = time.monotonic() + 10
while (stats := client.stats())[b"curr_items"] < 499 and time.monotonic() < deadline:
    pass
assert stats[b"curr_items"] >= 499 and stats[b"cmd_get"] > 0 and b"version" in stats, stats
assert client.version()
try:
    client.set("k" * 251, "v")
    raise SystemExit("the key is too long")
except MemcacheClientError:
    pass
objects = PooledClient(address, serde=serde.pickle_serde, max_pool_size=4)
objects.set("o", {"a": [1, 2]}, noreply=False)
assert objects.get("o") == {"a": [1, 2]}
spread = HashClient([address], default_noreply=False)
assert spread.set("h", "v") is True and spread.get("h") == b"v"
client.flush_all()
assert client.get("large") is None
client.quit()
print("ok")
