# redis-py's RedisCluster against an endpoint that looks like a cluster of one node: cluster.py PORT PROTOCOL
import sys

from redis.cluster import ClusterNode, RedisCluster

port, protocol = int(sys.argv[1]), int(sys.argv[2])
rc = RedisCluster(startup_nodes=[ClusterNode("127.0.0.1", port)], protocol=protocol, decode_responses=True)
rc.flushall()
nodes = rc.get_nodes()
assert [(node.host, node.port, node.server_type) for node in nodes] == [("127.0.0.1", port, "primary")], nodes
for n in range(500):
    assert rc.set(f"key:{n}", n) is True
assert [rc.get(f"key:{n}") for n in range(500)] == [str(n) for n in range(500)]
assert rc.mset({"{t}a": 1, "{t}b": 2}) is True and rc.mget("{t}a", "{t}b") == ["1", "2"]
assert rc.mget_nonatomic("key:1", "key:2", "nosuch") == ["1", "2", None]
assert rc.delete("key:1", "key:2") == 2 and rc.exists("key:1", "key:3") == 1
pipe = rc.pipeline()
for n in range(1000):
    pipe.set(f"p:{n}", n)
assert pipe.execute() == [True] * 1000
assert rc.dbsize() == 1500 and set(rc.scan_iter(match="p:99*")) == {"p:99", *(f"p:99{n}" for n in range(10))}
slot = rc.cluster_keyslot("{t}a")
assert slot == rc.keyslot("{t}a") and rc.cluster_countkeysinslot(slot) == 2
assert sorted(rc.cluster_get_keys_in_slot(slot, 10)) == ["{t}a", "{t}b"]
print("ok")
