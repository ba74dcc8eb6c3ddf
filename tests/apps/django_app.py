# django-redis: Django's cache API and what django-redis adds (locks, patterns, times to live), sessions, contention of
# threads and processes. Each value is also read by a client of its own.
import multiprocessing
import sys
import threading
import time

import django
from django.conf import settings

from common import Options, application, until

OPTIONS = Options()


PREFIX = OPTIONS.tag + "app:1:"


def cache(database, **options):
    return {
        "BACKEND": "django_redis.cache.RedisCache",
        "LOCATION": [f"redis://{address}/{database}" for address in OPTIONS.addresses[:1]],
        "KEY_PREFIX": OPTIONS.tag + "app",
        "OPTIONS": {"CLIENT_CLASS": "django_redis.client.DefaultClient", **options},
    }


settings.configure(
    CACHES={
        "default": cache(0),
        "json": cache(1, SERIALIZER="django_redis.serializers.json.JSONSerializer"),
        "packed": cache(1, COMPRESSOR="django_redis.compressors.zlib.ZlibCompressor"),
        "herd": cache(2, CLIENT_CLASS="django_redis.client.HerdClient"),
        "shards": {**cache(3, CLIENT_CLASS="django_redis.client.ShardClient"),
                   "LOCATION": [f"redis://{OPTIONS.addresses[0]}/{database}" for database in (3, 4)]},
    },
    SESSION_ENGINE="django.contrib.sessions.backends.cache",
    INSTALLED_APPS=["django.contrib.sessions"],
)
django.setup()

import redis  # noqa: E402
from django.contrib.sessions.backends.cache import SessionStore  # noqa: E402
from django.core.cache import cache as default  # noqa: E402
from django.core.cache import caches  # noqa: E402
from django_redis import get_redis_connection  # noqa: E402


def main(options):
    raw = redis.Redis.from_url(options.url())
    numbers = {}
    for part in (values, times, many, patterns, versions, others, increments, locks, sessions):
        numbers.update(part(options, raw))
    return numbers


def values(options, raw):
    count = 500 * options.factor
    for n in range(count):
        default.set(f"v:{n}", {"n": n, "text": "x" * (n % 100)}, timeout=300)
    assert all(default.get(f"v:{n}") == {"n": n, "text": "x" * (n % 100)} for n in range(count))
    assert raw.dbsize() == count and 200 <= raw.ttl(PREFIX + "v:7") <= 300
    assert default.get("nosuch") is None and default.get("nosuch", 5) == 5
    assert default.add("a", 1) is True and default.add("a", 2) is False and default.get("a") == 1
    assert raw.get(PREFIX + "a") == b"1"
    assert default.get_or_set("b", lambda: [1, 2]) == [1, 2] and default.get_or_set("b", 0) == [1, 2]
    assert "b" in default and default.has_key("b") and default.delete("b") and not default.delete("b")
    assert default.set("a", 5, nx=True) is None or default.get("a") == 1
    assert default.incr("a") == 2 and default.incr("a", 10) == 12 and default.decr("a", 2) == 10
    try:
        default.incr("nosuch")
        raise AssertionError("a key that is not there was incremented")
    except ValueError:
        pass
    default.set("none", None)
    assert default.get("none", 1) is None
    return {"values": count}


def times(options, raw):
    default.set("t", 1, timeout=100)
    assert 98 <= default.ttl("t") <= 100 and 98_000 < default.pttl("t") <= 100_000
    assert default.persist("t") and default.ttl("t") is None
    assert default.expire("t", timeout=50) and 48 <= default.ttl("t") <= 50
    assert default.pexpire("t", timeout=5500) and 4000 < default.pttl("t") <= 5500
    assert default.expire_at("t", int(time.time()) + 1000) and default.ttl("t") > 900
    assert default.pexpire_at("t", int((time.time() + 2000) * 1000)) and default.ttl("t") > 1900
    assert default.touch("t", 10) and default.ttl("t") <= 10 and not default.touch("nosuch", 10)
    default.set("short", 1, timeout=0.05)
    until("it to expire", lambda: default.get("short") is None)
    assert default.ttl("short") == 0 and default.ttl("nosuch") == 0
    default.set("never", 1, timeout=0)
    assert default.get("never") is None
    return {"times": 9}


def many(options, raw):
    count = 1000 * options.factor
    data = {f"m:{n}": n for n in range(count)}
    default.set_many(data, timeout=100)
    assert default.get_many(data) == data
    assert default.get_many(["m:1", "nosuch"]) == {"m:1": 1}
    assert default.delete_many([f"m:{n}" for n in range(0, count, 2)]) == count // 2
    assert len(default.get_many(data)) == count // 2
    return {"at once": count}


def patterns(options, raw):
    count = 300 * options.factor
    default.set_many({f"p:{kind}:{n}": n for kind in "ab" for n in range(count)})
    assert len(default.keys("p:a:*")) == count
    assert sorted(default.iter_keys("p:*", itersize=50)) == sorted(default.keys("p:*"))
    assert default.delete_pattern("p:a:*", itersize=100) == count
    assert default.keys("p:a:*") == [] and len(default.keys("p:b:*")) == count
    assert sum(1 for _ in raw.scan_iter(PREFIX + "p:*", count=100)) == count
    default.delete_pattern("p:*")
    return {"by pattern": 2 * count}


def versions(options, raw):
    default.set("ver", "one", version=1)
    default.set("ver", "two", version=2)
    assert default.get("ver", version=1) == "one" and default.get("ver", version=2) == "two"
    assert default.incr_version("ver", version=2) == 3 and default.get("ver", version=2) is None
    assert default.get("ver", version=3) == "two"
    return {"versions": 3}


def others(options, raw):
    """Other clients, serializers, compressors; data structures; clear."""
    caches["json"].set("j", {"a": [1, 2]})
    assert caches["json"].get("j") == {"a": [1, 2]}
    assert get_redis_connection("json").get(PREFIX + "j") == b'{"a": [1, 2]}'
    caches["packed"].set("z", "z" * 10_000)
    assert caches["packed"].get("z") == "z" * 10_000 and get_redis_connection("packed").strlen(PREFIX + "z") < 1000
    caches["herd"].set("h", 1, timeout=100)
    assert caches["herd"].get("h") == 1
    shards = caches["shards"]
    shards.set_many({f"s:{n}": n for n in range(50)})
    assert shards.get_many([f"s:{n}" for n in range(50)]) == {f"s:{n}": n for n in range(50)}
    sizes = [redis.Redis.from_url(options.url(database)).dbsize() for database in (3, 4)]
    # Keys with one tag are one shard's.
    assert sum(sizes) == 50 and (min(sizes) > 0) == (OPTIONS.tag == "")
    assert default.sadd("set", 1, 2, 3) == 3 and default.smembers("set") == {1, 2, 3} and default.sismember("set", 2)
    assert default.hset("hash", "a", 1) == 1 and default.hexists("hash", "a")
    assert set(default.hkeys("hash")) == {"a"} and default.hlen("hash") == 1 and default.hdel("hash", "a") == 1
    caches["json"].clear()
    assert caches["json"].get("j") is None
    return {"other clients": 4}


def add(count):
    for _ in range(count):
        default.incr("hits")


def increments(options, raw):
    """Threads and processes count together."""
    default.set("hits", 0, timeout=None)
    count = 100 * options.factor
    workers = [threading.Thread(target=add, args=(count,)) for _ in range(8)]
    workers += [multiprocessing.get_context("spawn").Process(target=add, args=(count,)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert default.get("hits") == 10 * count == int(raw.get(PREFIX + "hits"))
    return {"increments": 10 * count}


def locks(options, raw):
    """One at a time adds to a number that is not atomic."""
    total, rounds = [0], 20 * options.factor

    def work():
        for _ in range(rounds):
            with default.lock("lock", timeout=30, blocking_timeout=30, sleep=0.001):
                seen = total[0]
                time.sleep(0.0005)
                total[0] = seen + 1

    threads = [threading.Thread(target=work) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert total[0] == 5 * rounds, total
    held = default.lock("held", timeout=0.2)
    assert held.acquire() and not default.lock("held").acquire(blocking=False)
    held.extend(10)
    held.reacquire()
    assert raw.pttl(PREFIX + "held") <= 200
    until("the lock to end", lambda: not held.owned())
    try:
        held.release()
        raise AssertionError("a lock that had ended was released")
    except redis.exceptions.LockNotOwnedError:
        pass
    return {"under locks": 5 * rounds}


def sessions(options, raw):
    count = 50 * options.factor
    stores = []
    for n in range(count):
        store = SessionStore()
        store["user"] = n
        store.save()
        stores.append(store.session_key)
    assert [SessionStore(key)["user"] for key in stores] == list(range(count))
    first = SessionStore(stores[0])
    first.cycle_key()
    assert first["user"] == 0 and not SessionStore().exists(stores[0])
    first.flush()
    return {"sessions": count}


# Processes that are started by this one load it again.
if __name__ == "__main__":
    application("django-redis", main)
