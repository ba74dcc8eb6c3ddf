# redis-cli in the ways in which people look at a server: --bigkeys, --memkeys, --scan, --latency, --stat, --pipe, --eval,
# MONITOR, subscriptions, its formats. What it prints is compared with what was written.
import re
import subprocess
import tempfile

import redis

from common import application, begin, until

# Seconds after which a call has hung.
CALL_S = 60


class Cli:
    def __init__(self, options):
        self.base = ["redis-cli", "-h", options.host, "-p", str(options.port)]
        self.redis = redis.Redis.from_url(options.url(), decode_responses=True)
        self.factor = options.factor

    def __call__(self, *args, feed=b""):
        done = subprocess.run([*self.base, *args], input=feed, capture_output=True, timeout=CALL_S)
        assert done.returncode == 0, (args, done)
        return done.stdout.decode()

    def while_running(self, args, body):
        """What it prints while `body` runs."""
        with tempfile.NamedTemporaryFile() as file:
            child = begin([*self.base, *args], file.name)
            result = body(lambda: open(file.name, errors="replace").read())
            child.end()
            return result


def main(options):
    cli = Cli(options)
    cli.redis.flushall()
    numbers = {}
    for part in (pipe, keys, biggest, latency, stat, scripts, monitor, subscribe, forms):
        numbers.update(part(cli))
    return numbers


def pipe(cli):
    count = 20_000 * cli.factor
    feed = b"".join(b"*3\r\n$3\r\nSET\r\n$%d\r\n%b\r\n$1\r\nv\r\n" % (len(key), key) for key in (b"k:%d" % n for n in range(count)))
    said = cli("--pipe", feed=feed)
    assert f"errors: 0, replies: {count}" in said, said
    assert cli.redis.dbsize() == count
    said = subprocess.run([*cli.base, "--pipe"], input=b"SET a b\r\nLPUSH a 1\r\nSET c d\r\n", capture_output=True, timeout=CALL_S)
    assert b"errors: 1, replies: 3" in said.stdout and said.returncode == 1, said
    cli.redis.delete("a", "c")
    return {"piped": count}


def keys(cli):
    count = cli.redis.dbsize()
    assert len(set(cli("--scan").split())) == count
    assert sorted(cli("--scan", "--pattern", "k:1?").split()) == [f"k:1{n}" for n in range(10)]
    assert cli("--scan", "--pattern", "nosuch*") == ""
    assert cli("DBSIZE") == f"{count}\n"
    return {"scanned": count}


def biggest(cli):
    """Keys of every type; the biggest of each is found by both measures."""
    cli.redis.flushall()
    for n in range(200):
        cli.redis.set(f"string:{n}", "x" * (n + 1))
    for n in range(1, 11):
        cli.redis.rpush(f"list:{n}", *range(n * 10))
        cli.redis.sadd(f"set:{n}", *range(n * 20))
        cli.redis.zadd(f"zset:{n}", {str(m): m for m in range(n * 30)})
        cli.redis.hset(f"hash:{n}", mapping={str(m): m for m in range(n * 40)})
        cli.redis.xadd(f"stream:{n}", {"n": n})
    cli.redis.xadd("stream:10", {"n": 11})
    said = cli("--bigkeys")
    assert "Sampled 250 keys in the keyspace!" in said, said
    wanted = [
        ("string", "string:199", "200 bytes"), ("list", "list:10", "100 items"), ("set", "set:10", "200 members"),
        ("zset", "zset:10", "300 members"), ("hash", "hash:10", "400 fields"), ("stream", "stream:10", "2 entries"),
    ]
    for kind, key, size in wanted:
        assert re.search(rf'Biggest +{kind} found \W*{key}\W* has {size}', said), (kind, said)
    for count, kind, total, unit in ((200, "string", 20_100, "bytes"), (10, "list", 550, "items"), (10, "hash", 2200, "fields")):
        assert re.search(rf"{count} {kind}s with {total} {unit}", said), (kind, said)
    said = cli("--memkeys")
    assert "Sampled 250 keys in the keyspace!" in said
    for kind, key in (("list", "list:10"), ("hash", "hash:10")):
        assert re.search(rf'Biggest +{kind} found \W*{key}\W* has [0-9]+ bytes', said), (kind, said)
    assert "Sampled 250 keys" in cli("--memkeys-samples", "5")
    return {"measured": 250}


def latency(cli):
    """Without a terminal they measure for an interval and print a line."""
    low, high, mean, count = cli("--latency", "--raw", "-i", "1").split()
    assert int(low) <= float(mean) <= int(high) and int(count) > 20
    history = ["--latency-history", "--raw", "-i", "1"]
    line = cli.while_running(history, lambda said: until("a line", lambda: "\n" in said() and said().splitlines()[0]))
    assert int(line.split()[3]) > 0, line
    return {"pings": int(count)}


def stat(cli):
    def lines(said):
        return [line.split() for line in said().splitlines()[:-1] if re.match(r"^[0-9]+ ", line)]

    def body(said):
        until("three lines", lambda: len(lines(said)) >= 3)
        return lines(said)

    found = cli.while_running(["--stat", "-i", "0.01"], body)
    assert all(line[0] == str(cli.redis.dbsize()) for line in found), found
    requests = [int(re.match("[0-9]+", line[4])[0]) for line in found]
    assert requests == sorted(requests) and requests[-1] > requests[0], found
    return {"lines": 3}


def scripts(cli):
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as file:
        file.write("redis.call('SET', KEYS[1], ARGV[1]) return {KEYS[1], ARGV[1], #ARGV}")
        file.flush()
        assert cli("--eval", file.name, "key", ",", "value", "more") == "key\nvalue\n2\n"
    assert cli.redis.get("key") == "value"
    digest = cli("SCRIPT", "LOAD", "return 7").strip()
    assert cli("EVALSHA", digest, "0") == "7\n" and cli("SCRIPT", "EXISTS", digest) == "1\n"
    assert cli("-x", "FUNCTION", "LOAD", "REPLACE", feed=b"#!lua name=cli\nredis.register_function('f', function() return 'x' end)") == "cli\n"
    assert cli("FCALL", "f", "0") == "x\n"
    assert cli("FUNCTION", "DELETE", "cli") == "OK\n"
    return {"scripts": 3}


def monitor(cli):
    def body(said):
        until("OK", lambda: said().startswith("OK"))
        for n in range(100):
            cli.redis.set(f"seen:{n}", n)
        until("all commands", lambda: len(re.findall(r'"SET" "seen:[0-9]+"', said())) == 100)
        return said()

    said = cli.while_running(["MONITOR"], body)
    assert re.search(r'^[0-9]{10}\.[0-9]{6} \[0 127\.0\.0\.1:[0-9]+\] "SET" "seen:99" "99"$', said, re.M), said[-500:]
    return {"monitored": 100}


def subscribe(cli):
    def body(said):
        until("a subscription", lambda: cli.redis.pubsub_numsub("news")[0][1] == 1)
        assert all(cli.redis.publish("news", f"message {n}") == 1 for n in range(100))
        until("all messages", lambda: len(re.findall("message [0-9]+$", said(), re.M)) == 100)
        return said()

    said = cli.while_running(["SUBSCRIBE", "news"], body)
    assert said.startswith("subscribe\nnews\n1\nmessage\nnews\nmessage 0\n"), said[:100]
    until("nobody", lambda: cli.redis.publish("news", "x") == 0)
    return {"messages": 100}


def forms(cli):
    """Formats, transactions, blocking, several databases, names of users."""
    assert cli("--csv", "LRANGE", "list:1", "0", "2") == '"0","1","2"\n'
    assert cli("--json", "HGETALL", "hash:1").startswith('{"0":"0"')
    assert cli("-3", "--no-raw", "ZRANGE", "zset:1", "0", "0", "WITHSCORES").startswith('1) 1) "0"\n   2) (double) 0')
    assert cli(feed=b"MULTI\nSET a 1\nINCR a\nEXEC\n") == "OK\nQUEUED\nQUEUED\nOK\n2\n"
    assert cli("-n", "9", "SET", "there", "1") == "OK\n" and cli("-n", "9", "DBSIZE") == "1\n"
    assert cli("BLPOP", "nosuch", "0.01") == "\n"
    assert cli("--user", "default", "--pass", "", "--no-auth-warning", "ACL", "WHOAMI") == "default\n"
    assert cli("-r", "3", "-i", "0.01", "INCR", "times") == "1\n2\n3\n"
    assert cli("-d", ",", "LRANGE", "list:1", "0", "2").strip() == "0,1,2"
    assert cli("--quoted-input", "SET", r'"\x00k"', r'"\xff"') == "OK\n" and cli("--no-raw", "GET", "nosuch") == "(nil)\n"
    assert "redis_version" in cli("INFO") and "# Keyspace" in cli("INFO", "keyspace")
    return {"forms": 11}


application("redis-cli", main)
