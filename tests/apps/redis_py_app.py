# redis-py as applications use it: locks, subscriptions, optimistic transactions, scripts, functions, streams, queues, a
# cache at the client that the server keeps fresh, and the same by asyncio.
import asyncio
import threading

import redis
import redis.asyncio
from redis.cache import CacheConfig
from redis.connection import CacheProxyConnection
from redlock import Redlock

from common import application, until


class App:
    def __init__(self, options):
        self.factor, self.tag, self.options = options.factor, options.tag, options
        self.redis = self.open()

    def key(self, name):
        return self.tag + name

    def open(self, **options):
        return redis.Redis(host=self.options.host, port=self.options.port, decode_responses=True, **options)


def main(options):
    app = App(options)
    numbers = {}
    for part in (locks, redlocks, transactions, subscriptions, shards, notifications, scripts, queues, streams, cached):
        numbers.update(part(app))
    numbers.update(asyncio.run(coroutines(app)))
    return numbers


def together(count, work):
    """Runs that many threads; what one raises is raised here."""
    errors = []

    def guarded(number):
        try:
            work(number)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def fails(kind, what):
    try:
        what()
    except kind:
        return
    raise AssertionError(f"no {kind.__name__}")


def locks(app):
    total, rounds = [0], 20 * app.factor

    def work(_):
        client = app.open()
        for _ in range(rounds):
            with client.lock(app.key("lock"), timeout=20, sleep=0.001, blocking_timeout=20):
                total[0] = total[0] + 1

    together(8, work)
    assert total[0] == 8 * rounds and not app.redis.exists(app.key("lock"))
    lock = app.redis.lock(app.key("held"), timeout=5)
    assert lock.acquire() and lock.owned() and lock.locked()
    assert not app.redis.lock(app.key("held")).acquire(blocking=False)
    assert lock.extend(60) and app.redis.ttl(app.key("held")) > 50
    assert lock.extend(10, replace_ttl=True) and app.redis.ttl(app.key("held")) <= 10
    assert lock.reacquire() and app.redis.ttl(app.key("held")) <= 5
    app.redis.set(app.key("held"), "another's")
    fails(redis.exceptions.LockNotOwnedError, lock.release)
    return {"under locks": total[0]}


def redlocks(app):
    total, rounds = [0], 10 * app.factor

    def work(_):
        manager = Redlock([{"host": app.options.host, "port": app.options.port}], retry_count=2000, retry_delay=0.005)
        for _ in range(rounds):
            lock = manager.lock(app.key("redlock"), 20_000)
            assert lock
            total[0] = total[0] + 1
            manager.unlock(lock)

    together(4, work)
    assert total[0] == 4 * rounds and not app.redis.exists(app.key("redlock"))
    return {"under redlocks": total[0]}


def transactions(app):
    rounds, again = 40 * app.factor, []
    app.redis.mset({app.key("from"): 10_000, app.key("to"): 0})

    def work(_):
        client = app.open()

        def transfer(pipe):
            have = int(pipe.get(app.key("from")))
            pipe.multi()
            pipe.set(app.key("from"), have - 1)
            pipe.incr(app.key("to"))
            again.append(have)

        for _ in range(rounds):
            assert client.transaction(transfer, app.key("from"))[1] > 0

    together(6, work)
    assert int(app.redis.get(app.key("to"))) == 6 * rounds == 10_000 - int(app.redis.get(app.key("from")))
    assert len(again) > 6 * rounds, "they never met"
    pipe = app.redis.pipeline()
    pipe.set(app.key("text"), "x").incr(app.key("text")).set(app.key("after"), 1)
    results = pipe.execute(raise_on_error=False)
    assert results[0] is True and isinstance(results[1], redis.ResponseError) and results[2] is True
    pipe = app.redis.pipeline(transaction=False)
    for n in range(2000 * app.factor):
        pipe.set(app.key(f"p:{n}"), n)
    assert all(pipe.execute())
    return {"transactions": 6 * rounds}


def subscriptions(app):
    count = 300 * app.factor
    for protocol in (2, 3):
        heard = {"plain": [], "pattern": []}
        client = app.open(protocol=protocol)
        pubsub = client.pubsub(ignore_subscribe_messages=True)
        pubsub.subscribe(**{app.key("news"): lambda message: heard["plain"].append(message["data"])})
        pubsub.psubscribe(**{app.key("n*"): lambda message: heard["pattern"].append(message["data"])})
        thread = pubsub.run_in_thread(sleep_time=0.05)
        until("subscriptions", lambda: app.redis.pubsub_numsub(app.key("news"))[0][1] == 1 and app.redis.pubsub_numpat() == 1)
        assert app.key("news") in app.redis.pubsub_channels(app.key("*"))
        assert [app.redis.publish(app.key("news"), n) for n in range(count)] == [2] * count
        until("all messages", lambda: len(heard["plain"]) + len(heard["pattern"]) == 2 * count)
        assert heard["plain"] == heard["pattern"] == [str(n) for n in range(count)]
        thread.stop()
        thread.join()
        until("nobody", lambda: app.redis.publish(app.key("news"), "x") == 0)
    return {"messages": 4 * count}


def shards(app):
    client = app.open()
    pubsub = client.pubsub(ignore_subscribe_messages=True)
    pubsub.execute_command("SSUBSCRIBE", app.key("shard"))
    assert pubsub.parse_response()[0] == "ssubscribe"
    assert app.redis.execute_command("SPUBLISH", app.key("shard"), "hello") == 1
    assert pubsub.parse_response() == ["smessage", app.key("shard"), "hello"]
    assert app.redis.pubsub_shardchannels() == [app.key("shard")]
    pubsub.close()
    return {"shard messages": 1}


def notifications(app):
    """What happens to keys is told to those who want to know."""
    app.redis.config_set("notify-keyspace-events", "KEA")
    pubsub = app.open().pubsub(ignore_subscribe_messages=True)
    pubsub.psubscribe(f"__keyevent@0__:*", f"__keyspace@0__:{app.key('watched')}")
    until("subscriptions", lambda: app.redis.pubsub_numpat() == 2)
    app.redis.set(app.key("watched"), 1)
    app.redis.expire(app.key("watched"), 100)
    app.redis.pexpire(app.key("watched"), 20)
    app.redis.rpush(app.key("list"), 1)
    app.redis.lpop(app.key("list"))
    until("it to expire", lambda: not app.redis.exists(app.key("watched")))
    events = []

    def drained():
        while message := pubsub.get_message(timeout=0.02):
            events.append((message["channel"].split(":", 1)[1], message["data"]))
        return ("expired", app.key("watched")) in events and (app.key("watched"), "expired") in events

    until("events", drained)
    of_event = [event for event in events if event[0] in ("set", "expire", "rpush", "lpop", "del", "expired")]
    watched, items = app.key("watched"), app.key("list")
    assert of_event == [("set", watched), ("expire", watched), ("expire", watched), ("rpush", items), ("lpop", items),
                        ("del", items), ("expired", watched)], events
    of_key = [event[1] for event in events if event[0] == watched]
    assert of_key == ["set", "expire", "expire", "expired"], events
    pubsub.close()
    app.redis.config_set("notify-keyspace-events", "")
    return {"events": len(of_event) + len(of_key)}


def scripts(app):
    script = app.redis.register_script("return redis.call('INCRBY', KEYS[1], ARGV[1])")
    assert [script(keys=[app.key("sum")], args=[2]) for _ in range(50)] == list(range(2, 102, 2))
    app.redis.script_flush()
    assert script(keys=[app.key("sum")], args=[2]) == 102
    pipe = app.redis.pipeline()
    for _ in range(10):
        script(keys=[app.key("sum")], args=[1], client=pipe)
    assert pipe.execute() == list(range(103, 113))
    fails(redis.ResponseError, lambda: app.redis.eval("return redis.call('NOSUCH')", 0))
    app.redis.function_load("#!lua name=lib\nredis.register_function('twice', function(keys, args) return args[1] * 2 end)", replace=True)
    assert app.redis.fcall("twice", 0, 21) == 42
    app.redis.function_delete("lib")
    return {"scripts": 62}


def queues(app):
    count, taken = 200 * app.factor, []

    def work(_):
        client = app.open()
        while (value := client.blpop([app.key("urgent"), app.key("queue")], timeout=20)[1]) != "end":
            taken.append(int(value))

    def feed(number):
        if number < 3:
            return work(number)
        for n in range(count):
            app.redis.rpush(app.key("queue"), n)
        app.redis.rpush(app.key("queue"), "end", "end", "end")

    together(4, feed)
    assert sorted(taken) == list(range(count))
    assert app.redis.blmove(app.key("none"), app.key("to"), 0.01) is None
    return {"taken": count}


def streams(app):
    count, seen = 200 * app.factor, []
    app.redis.xgroup_create(app.key("stream"), "group", "$", mkstream=True)

    def work(number):
        if number == 2:
            for n in range(count):
                app.redis.xadd(app.key("stream"), {"n": n})
            return
        client = app.open()
        while len(seen) < count:
            for _, entries in client.xreadgroup("group", f"member-{number}", {app.key("stream"): ">"}, count=10, block=100) or []:
                for id, fields in entries:
                    seen.append(int(fields["n"]))
                    client.xack(app.key("stream"), "group", id)

    together(3, work)
    assert sorted(seen) == list(range(count))
    assert app.redis.xpending(app.key("stream"), "group")["pending"] == 0
    return {"in streams": count}


def cached(app):
    """What a client has read it reads from its own memory until another changes it."""
    rounds = 100 * app.factor
    # The library asks for Redis 7.4 by name; what its cache needs, servers have since 6.0.
    CacheProxyConnection.DEFAULT_SERVER_NAME = app.open(protocol=3).execute_command("HELLO", 3)["server"]
    CacheProxyConnection.MIN_ALLOWED_VERSION = "7.0.0"
    reader = app.open(protocol=3, cache_config=CacheConfig(max_size=100))
    cache = reader.get_cache()
    for n in range(rounds):
        app.redis.set(app.key("cached"), n)
        until("the news", lambda: reader.get(app.key("cached")) == str(n))
        assert cache.size == 1 and reader.get(app.key("cached")) == str(n)
    before = app.redis.info("commandstats")["cmdstat_get"]["calls"]
    reads = 100 * rounds
    for _ in range(reads):
        assert reader.get(app.key("cached")) == str(rounds - 1)
    # What another worker has served in the last tenth of a second is counted late: some of the reads before these.
    assert app.redis.info("commandstats")["cmdstat_get"]["calls"] - before < reads // 10
    app.redis.flushdb()
    until("an empty cache", lambda: reader.get(app.key("cached")) is None)
    return {"invalidated": rounds}


async def coroutines(app):
    """Many clients of one process."""
    count = 50 * app.factor
    client = redis.asyncio.Redis(host=app.options.host, port=app.options.port, decode_responses=True, protocol=3)
    await asyncio.gather(*(client.incr(app.key("hits")) for _ in range(count)))
    assert await client.get(app.key("hits")) == str(count)
    total = 0

    async def locked():
        nonlocal total
        async with client.lock(app.key("async"), timeout=20, sleep=0.002):
            seen = total
            await asyncio.sleep(0)
            total = seen + 1

    await asyncio.gather(*(locked() for _ in range(count)))
    assert total == count
    waiting = [asyncio.create_task(client.blpop(app.key("jobs"), timeout=20)) for _ in range(count)]
    for n in range(count):
        await client.rpush(app.key("jobs"), n)
    assert sorted(int(value) for _, value in await asyncio.gather(*waiting)) == list(range(count))
    async with client.pubsub() as pubsub:
        await pubsub.subscribe(app.key("async-news"))
        assert (await pubsub.get_message(timeout=5))["type"] == "subscribe"
        assert await client.publish(app.key("async-news"), "x") == 1
        assert (await pubsub.get_message(timeout=5))["data"] == "x"
    await client.aclose()
    return {"by coroutines": count}


application("redis-py", main)
