# redis-py against a server that speaks RESP: resp.py PORT PROTOCOL [TAG]; keys that are named together begin with TAG
import sys
import threading
import time

import redis

port, protocol = int(sys.argv[1]), int(sys.argv[2])
tag = sys.argv[3] if len(sys.argv) > 3 else ""
a, b, c, d, e, g, s = (tag + name for name in "abcdegs")
pool = dict(host="127.0.0.1", port=port, protocol=protocol)
r = redis.Redis(**pool, decode_responses=True)
raw = redis.Redis(**pool)
assert r.ping() is True
r.flushall()

# Strings, with every kind of argument the library knows.
assert r.set("k", "v") is True
assert r.get("k") == "v"
assert r.set("k", "w", nx=True) is None
assert r.set("k", "w", xx=True, get=True) == "v"
assert r.set("k", "x", ex=100) is True and 98 <= r.ttl("k") <= 100
assert r.set("k", "y", keepttl=True) is True and r.ttl("k") > 90
assert r.getex("k", persist=True) == "y" and r.ttl("k") == -1
assert r.set("k", "z", exat=int(time.time()) + 100) and r.pttl("k") > 90_000
assert r.getdel("k") == "z" and r.get("k") is None
assert r.append(s, "Hello ") == 6 and r.append(s, "World") == 11
assert r.strlen(s) == 11 and r.getrange(s, 0, 4) == "Hello" and r.setrange(s, 6, "Redis") == 11
assert r.get(s) == "Hello Redis"
assert r.incr("n") == 1 and r.incrby("n", 41) == 42 and r.decr("n") == 41 and r.decrby("n", 1) == 40
assert r.incrbyfloat("f", "10.5") == 10.5 and r.incrbyfloat("f", "-0.5") == 10.0
assert r.mset({a: 1, b: 2, c: 3}) is True
assert r.mget(a, b, "nosuch", c) == ["1", "2", None, "3"]
assert r.msetnx({c: 9, d: 9}) in (0, False) and r.get(d) is None
assert r.psetex("p", 100_000, "v") and r.setex("q", 100, "v") and r.setnx("q", "w") in (0, False)
assert raw.set(b"\x00\xff", b"\r\n\x80") and raw.get(b"\x00\xff") == b"\r\n\x80"

# Keys.
assert r.exists(a, b, "nosuch") == 2 and r.delete(a, "nosuch") == 1 and r.unlink(b) == 1
assert r.rename(c, e) is True and r.renamenx(e, s) in (0, False)
assert r.copy(e, g) in (1, True) and r.type(g) == "string" and r.type("nosuch") == "none"
assert r.expire(g, 100) in (1, True) and r.expire(g, 50, gt=True) in (0, False) and r.persist(g) in (1, True)
assert r.expiretime(g) == -1 and r.touch(g, e) == 2 and r.object("encoding", e) == "int"
assert raw.randomkey() is not None  # one of the keys is no text
r.flushdb()
names = {f"key:{n}" for n in range(1000)}
pipe = r.pipeline(transaction=False)
for name in names:
    pipe.set(name, "v")
assert pipe.execute() == [True] * 1000
assert set(r.scan_iter(count=50)) == names and set(r.scan_iter(match="key:99*")) == {n for n in names if n.startswith("key:99")}
assert set(r.keys("key:1?")) == {f"key:1{n}" for n in range(10)} and r.dbsize() == 1000

# A pipeline of 1,000, with an error in the middle.
pipe = r.pipeline(transaction=False)
for n in range(1000):
    pipe.incr("key:1") if n == 500 else pipe.set(f"key:{n}", n)
answers = pipe.execute()
assert answers[500] == 2, answers[500]
r.set("text", "abc")
pipe = r.pipeline(transaction=False).incr("text").get("text")
failed, fine = pipe.execute(raise_on_error=False)
assert isinstance(failed, redis.ResponseError) and "not an integer" in str(failed) and fine == "abc"

# Transactions.
pipe = r.pipeline(transaction=True)
pipe.set("t", 1).incr("t").get("t")
assert pipe.execute() == [True, 2, "2"]
pipe = r.pipeline(transaction=True)
pipe.set("t", 5).execute_command("NOSUCH")
try:
    pipe.execute()
    raise SystemExit("EXEC should have been refused")
except redis.ResponseError as error:
    assert "unknown command" in str(error), error
assert r.get("t") == "2"

# Connection and server.
assert r.echo("hi") == "hi" and r.client_setname("me") is True and r.client_getname() == "me"
mine = r.client_info()
assert mine["name"] == "me" and mine["lib-name"].startswith("redis-py"), mine
assert any(client["name"] == "me" for client in r.client_list())
assert r.client_id() == int(mine["id"])
other = redis.Redis(**pool, decode_responses=True, db=3)
other.set("k", "three")
assert other.get("k") == "three" and r.exists("k") == 0 and r.swapdb(0, 3) is True
assert r.get("k") == "three" and r.swapdb(0, 3) is True
assert r.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
assert r.config_set("maxmemory-policy", "allkeys-lru") is True and r.config_set("maxmemory-policy", "noeviction") is True
info = r.info()
# Several nodes count at different moments: what is just being handed over may be missing.
assert info["redis_version"] == "7.2.4" and info["db0"]["keys"] > (950 if tag else 1000), info
assert r.info("clients")["connected_clients"] >= 2
seconds, micros = r.time()
assert abs(seconds - time.time()) < 5 and 0 <= micros < 1_000_000
assert r.command_count() > 40 and r.memory_usage("t") > 0
assert "get" in r.command() and r.command_getkeys("MSET", "a", 1, "b", 2) == ["a", "b"]
for call in (lambda: r.execute_command("NOSUCH", "a"), lambda: r.execute_command("GET"), lambda: r.set("k", "v", ex=0)):
    try:
        call()
        raise SystemExit("an error should have come")
    except redis.ResponseError:
        pass

# Large values, and many threads on one pool.
large = "v" * (5 << 20)
assert r.set("large", large) and r.get("large") == large
r.delete("counter")


def count():
    for _ in range(200):
        r.incr("counter")


threads = [threading.Thread(target=count) for _ in range(10)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert r.get("counter") == "2000"
r.flushall()
assert r.dbsize() == 0
print("ok")
