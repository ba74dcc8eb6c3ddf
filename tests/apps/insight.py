# What graphical tools ask a server, in the order in which they ask it: connection, overview, browser, key details, slow
# log, profiler, channels, workbench, users. Shapes are checked, and values wherever this program knows them.
import time

import redis

from common import application, until


def main(options):
    client = redis.Redis.from_url(options.url(), decode_responses=True, protocol=3, client_name="insight")
    raw = redis.Redis.from_url(options.url())
    numbers = {}
    for part in (connect, overview, browse, details, slow_log, profile, channels, workbench, users, analysis):
        numbers.update(part(client, raw, options))
    return numbers


def is_new(client):
    """Whether it knows what came with version 7.2."""
    return tuple(int(part) for part in client.info("server")["redis_version"].split(".")) >= (7, 2)


def connect(client, raw, options):
    fields = client.execute_command("HELLO", "3", "SETNAME", "insight")
    assert fields["proto"] == 3 and fields["role"] == "master" and fields["mode"] in ("standalone", "cluster")
    assert client.ping() and client.client_getname() == "insight" and client.client_id() > 0
    if is_new(client):
        assert client.client_setinfo("LIB-NAME", "insight")
    assert client.acl_whoami() == "default"
    assert {"get", "scan", "multi", "eval", "subscribe", "memory"} <= set(client.command())
    assert client.command_count() >= 200
    assert isinstance(client.module_list(), list)
    assert client.execute_command("COMMAND DOCS", "GET")
    assert client.execute_command("CONFIG", "GET", "databases")
    return {"on connecting": 10}


def overview(client, raw, options):
    info = client.info()
    wanted = ("redis_version uptime_in_seconds connected_clients used_memory used_memory_human maxmemory role used_cpu_sys "
              "total_commands_processed instantaneous_ops_per_sec instantaneous_input_kbps instantaneous_output_kbps "
              "keyspace_hits keyspace_misses expired_keys evicted_keys total_connections_received blocked_clients").split()
    assert [name for name in wanted if name not in info] == []
    sections = "server clients memory stats cpu commandstats errorstats latencystats keyspace replication persistence cluster".split()
    for section in sections:
        assert client.execute_command(f"INFO {section}").lower().startswith(f"# {section}"), section
    before = client.info("stats")["total_commands_processed"]
    client.mset({f"o:{n}": n for n in range(10)})
    assert client.info("stats")["total_commands_processed"] > before
    assert client.info("keyspace")["db0"]["keys"] == client.dbsize() == 10
    client.set("hits", 1)
    client.get("hits"), client.get("misses")
    stats = client.info("stats")
    assert stats["keyspace_hits"] >= 1 and stats["keyspace_misses"] >= 1
    assert client.info("commandstats")["cmdstat_mset"]["calls"] >= 1
    try:
        client.lpush("hits", 1)
    except redis.ResponseError:
        pass
    assert client.info("errorstats")["errorstat_WRONGTYPE"]["count"] >= 1
    assert client.memory_stats()["keys.count"] == client.dbsize()
    assert isinstance(client.execute_command("MEMORY", "DOCTOR"), str)
    assert client.config_get("maxmemory*")["maxmemory-policy"]
    return {"sections": len(sections)}


def browse(client, raw, options):
    """Pages of keys of a type, with type, size and time to live of each in a pipeline."""
    count = 100 * options.factor
    client.flushdb()
    for n in range(count):
        client.set(f"s:{n}", "v" * n, ex=1000)
        client.hset(f"h:{n}", "f", n)
        client.rpush(f"l:{n}", n)
        client.sadd(f"t:{n}", n)
        client.zadd(f"z:{n}", {"m": n})
        client.xadd(f"x:{n}", {"f": n})
    kinds = {"string": "s", "hash": "h", "list": "l", "set": "t", "zset": "z", "stream": "x"}
    for kind, letter in kinds.items():
        found, cursor = set(), 0
        while True:
            cursor, keys = client.scan(cursor, match="*", count=200, _type=kind)
            found.update(keys)
            if cursor == 0:
                break
        assert found == {f"{letter}:{n}" for n in range(count)}, kind
        pipe = client.pipeline(transaction=False)
        page = sorted(found)[:50]
        for key in page:
            pipe.type(key).ttl(key).memory_usage(key, samples=0)
        answers = pipe.execute()
        for n in range(len(page)):
            type_, ttl, size = answers[3 * n:3 * n + 3]
            assert type_ == kind and size > 0 and (900 <= ttl <= 1000 if kind == "string" else ttl == -1)
    assert client.dbsize() == 6 * count
    assert client.exists("s:1", "nosuch") == 1 and client.keys("z:1") == ["z:1"] and client.randomkey()
    return {"browsed": 6 * count}


def details(client, raw, options):
    assert client.object("encoding", "s:1") == "embstr" and client.object("encoding", "h:1") == "listpack"
    assert client.object("idletime", "s:1") >= 0 and client.object("refcount", "s:1") >= 1
    assert client.execute_command("OBJECT", "HELP")[0].startswith("OBJECT")
    client.hset("h:1", mapping={f"f{n}": n for n in range(500)})
    assert len(dict(client.hscan_iter("h:1", match="f*", count=100))) == 501 and client.hlen("h:1") == 501
    assert client.xinfo_stream("x:1")["length"] == 1 and client.xrange("x:1", "-", "+", count=10)
    client.xgroup_create("x:1", "g", "0")
    assert client.xinfo_groups("x:1")[0]["name"] == "g" and client.xinfo_consumers("x:1", "g") == []
    assert client.lrange("l:1", 0, 9) == ["1"] and client.lset("l:1", 0, "2") and client.lindex("l:1", 0) == "2"
    assert raw.get("s:5") == b"vvvvv" and client.strlen("s:5") == 5 and client.getrange("s:5", 0, 1) == "vv"
    assert client.rename("s:5", "s:new") and client.renamenx("s:new", "s:6") is False
    assert client.expire("s:new", 5) and client.persist("s:new") and client.ttl("s:new") == -1
    dumped = raw.dump("h:1")
    assert raw.restore("h:copy", 0, dumped) and client.hlen("h:copy") == 501
    assert client.unlink("h:copy") == 1 and client.copy("s:7", "s:copy")
    return {"details": 20}


def slow_log(client, raw, options):
    before = client.config_get("slowlog-*")
    client.config_set("slowlog-log-slower-than", 0)
    client.config_set("slowlog-max-len", 100)
    client.slowlog_reset()
    client.set("slow", "x")
    entries = client.slowlog_get(50)
    ours = next(entry for entry in entries if str(entry["command"]).lower().find("set slow x") >= 0)
    assert ours["duration"] >= 0 and abs(ours["start_time"] - time.time()) < 100 and ours["id"] >= 0
    assert client.slowlog_len() >= 2
    for name, value in before.items():
        client.config_set(name, value)
    client.slowlog_reset()
    assert isinstance(client.execute_command("LATENCY", "LATEST"), list)
    assert client.execute_command("LATENCY", "HISTOGRAM", "set")
    assert isinstance(client.execute_command("LATENCY", "DOCTOR"), str)
    return {"slow": len(entries)}


def profile(client, raw, options):
    with redis.Redis.from_url(options.url(), decode_responses=True).monitor() as watching:
        client.set("profiled", "by me")
        client.eval("return redis.call('GET', KEYS[1])", 1, "profiled")
        # Swell does not show what scripts call.
        last = ("tcp", "EVAL") if b"swell_version" in raw.execute_command("HELLO") else ("lua", "GET")
        seen = []
        for line in watching.listen():
            seen.append((line["client_type"], line["command"].split()[0].upper()))
            if last in seen:
                break
    expected = [("tcp", "SET"), ("tcp", "EVAL"), ("lua", "GET")]
    assert [kind for kind in seen if kind[1] in ("SET", "EVAL", "GET")] == expected[:expected.index(last) + 1], seen
    return {"profiled": 3}


def channels(client, raw, options):
    pubsub = client.pubsub()
    pubsub.psubscribe("*")
    assert until("it", lambda: pubsub.get_message(timeout=0.1))["type"] == "psubscribe"
    assert client.publish("any", "text") == 1
    message = until("a message", lambda: pubsub.get_message(timeout=0.1))
    assert (message["channel"], message["data"], message["pattern"]) == ("any", "text", "*")
    assert client.pubsub_numpat() == 1 and client.pubsub_channels() == []
    found = [entry for entry in client.client_list() if entry["psub"] == "1"]
    assert len(found) == 1 and "P" in found[0]["flags"]
    pubsub.close()
    return {"messages": 1}


def workbench(client, raw, options):
    """Whatever a person types."""
    other = redis.Redis.from_url(options.url(), client_name="other")
    other.ping()
    found = client.client_list()
    assert {"insight", "other"} <= {entry["name"] for entry in found}
    wanted = "id addr laddr fd name age idle flags db sub psub ssub multi qbuf tot-mem cmd user resp".split()
    wanted += ["lib-name", "lib-ver"] if is_new(client) else []
    assert [field for field in wanted if field not in found[0]] == []
    target = next(entry for entry in found if entry["name"] == "other")
    assert client.client_list(client_id=[target["id"]])[0]["name"] == "other"
    assert client.client_info()["name"] == "insight"
    assert client.client_kill_filter(_id=target["id"]) == 1
    until("it to be gone", lambda: "other" not in {entry["name"] for entry in client.client_list()})
    assert client.client_no_evict("ON") and (not is_new(client) or client.client_no_touch("OFF"))
    assert client.function_list() == [] and client.time()[0] > 0 and client.lastsave()
    assert client.role()[0] == "master" and client.execute_command("LOLWUT") and client.echo("x") == "x"
    pipe = client.pipeline()
    pipe.set("w", 1).incr("w").get("w")
    assert pipe.execute() == [True, 2, "2"]
    assert client.execute_command("SELECT", 0) and client.swapdb(1, 2) and client.wait(0, 10) == 0
    return {"typed": 15}


def users(client, raw, options):
    assert client.acl_list()[0].startswith("user default on") and "default" in client.acl_users()
    assert "string" in client.acl_cat() and "get" in client.acl_cat("string") and len(client.acl_genpass()) == 64
    assert client.acl_setuser("reader", enabled=True, passwords=["+secret"], keys=["r:*"], commands=["+get", "+ping"])
    assert "+get" in client.acl_getuser("reader")["commands"]
    client.set("r:1", "mine")
    reader = redis.Redis(host=options.host, port=options.port, username="reader", password="secret", decode_responses=True)
    assert reader.get("r:1") == "mine"
    for refused in (lambda: reader.get("other"), lambda: reader.set("r:1", 1)):
        try:
            refused()
            raise AssertionError("it was allowed")
        except redis.exceptions.NoPermissionError:
            pass
    assert {entry["reason"] for entry in client.acl_log()} == {"key", "command"}
    assert client.acl_dryrun("reader", "get", "r:1") in (True, "OK") and client.acl_deluser("reader") == 1
    client.acl_log_reset()
    return {"refused": 2}


def analysis(client, raw, options):
    """A report on all keys, then everything is removed."""
    pipe = client.pipeline(transaction=False)
    keys = list(client.scan_iter(count=1000))
    for key in keys:
        pipe.memory_usage(key).type(key).ttl(key)
    answers = pipe.execute()
    assert all(size for size in answers[0::3]) and sum(answers[0::3]) < 100_000_000
    assert client.execute_command("MEMORY", "PURGE") in (True, "OK")
    assert client.flushdb() and client.dbsize() == 0
    return {"analysed": len(keys)}


application("insight", main)
