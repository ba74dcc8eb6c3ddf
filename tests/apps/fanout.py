# Many subscribers at every door of one cache, many publishers at each: everybody hears everything that is meant for him,
# once, each publisher's messages in their order. Channels, patterns, shard channels, and what happens to keys.
import selectors
import threading
import time

import redis

from common import DEADLINE_S, application, until

# Subscribers of each kind at each door.
SUBSCRIBERS = 10

# Publishers at each door.
PUBLISHERS = 2

# What is said to find out who listens, and not counted.
BEGIN = "begin"


def main(options):
    doors = [redis.Redis.from_url(f"redis://{address}", decode_responses=True) for address in options.addresses]
    if len(doors) == 1:
        doors = doors * 2
    count = 200 * options.factor
    numbers = {}
    numbers.update(channels(doors, count, options.tag))
    numbers.update(shards(doors, count, options.tag))
    numbers.update(keys(doors, count))
    numbers.update(leaving(doors))
    return numbers


class Listeners:
    """Subscribers, all read by one thread: what each of them has heard."""

    def __init__(self):
        self.selector = selectors.DefaultSelector()
        self.heard, self.pubsubs, self.stop, self.errors = [], [], False, []

    def add(self, door, subscribe):
        pubsub = door.pubsub()
        subscribe(pubsub)
        assert pubsub.parse_response(timeout=DEADLINE_S)[0].endswith("subscribe")
        self.selector.register(pubsub.connection._sock, selectors.EVENT_READ, len(self.pubsubs))
        self.pubsubs.append(pubsub)
        self.heard.append([])

    def start(self):
        self.thread = threading.Thread(target=self.listen, daemon=True)
        self.thread.start()

    def listen(self):
        try:
            while not self.stop:
                for ready, _ in self.selector.select(0.05):
                    pubsub = self.pubsubs[ready.data]
                    # One read may have brought many messages.
                    while message := pubsub.parse_response(block=False, timeout=0):
                        if message[-1] != BEGIN:
                            self.heard[ready.data].append(message)
        except BaseException as error:
            self.errors.append(error)

    def wait(self, counts):
        def all_there():
            if self.errors:
                raise self.errors[0]
            return all(len(heard) >= count for heard, count in zip(self.heard, counts))

        try:
            until("all messages", all_there)
        except AssertionError:
            lacking = [(n, len(heard), count) for n, (heard, count) in enumerate(zip(self.heard, counts)) if len(heard) != count]
            raise AssertionError(f"subscribers, what they heard of how many: {lacking}")
        # What would come twice comes behind what has come once.
        time.sleep(0.1)
        assert [len(heard) for heard in self.heard] == counts

    def close(self):
        self.stop = True
        self.thread.join()
        for pubsub in self.pubsubs:
            pubsub.close()


def publish(doors, count, send):
    """Publishers at all doors at the same time; how many got each message, as the server says."""
    answers, errors = [], []

    def work(door, name):
        try:
            client = redis.Redis(connection_pool=door.connection_pool)
            for n in range(count):
                answers.append(send(client, f"{name} {n}"))
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(door, f"{place}-{n}")) for place, door in enumerate(doors) for n in range(PUBLISHERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return answers


def in_order(texts, doors, count):
    """Every publisher's messages, each once, in order."""
    for place in range(len(doors)):
        for n in range(PUBLISHERS):
            own = [text for text in texts if text.startswith(f"{place}-{n} ")]
            assert own == [f"{place}-{n} {m}" for m in range(count)], (place, n, own[:5])


def channels(doors, count, tag):
    listeners = Listeners()
    for door in doors:
        for _ in range(SUBSCRIBERS):
            listeners.add(door, lambda pubsub: pubsub.subscribe(tag + "news"))
            listeners.add(door, lambda pubsub: pubsub.psubscribe(tag + "n?ws"))
    everybody = 2 * SUBSCRIBERS * len(doors)
    until("all to be known", lambda: all(door.publish(tag + "news", BEGIN) == everybody for door in doors))
    assert doors[0].pubsub_numsub(tag + "news")[0][1] == everybody // 2 and doors[-1].pubsub_numpat() == 1
    listeners.start()
    sent = len(doors) * PUBLISHERS * count
    assert publish(doors, count, lambda client, text: client.publish(tag + "news", text)) == [everybody] * sent
    listeners.wait([sent] * everybody)
    for heard in listeners.heard:
        in_order([message[-1] for message in heard], doors, count)
    listeners.close()
    return {"messages": sent * everybody}


def shards(doors, count, tag):
    """Shard channels of many slots."""
    names = [f"{tag}shard-{n}" for n in range(SUBSCRIBERS)]
    listeners = Listeners()
    for door in doors:
        for name in names:
            listeners.add(door, lambda pubsub: pubsub.execute_command("SSUBSCRIBE", name))
    until("all to be known", lambda: sum(dict(doors[0].pubsub_shardnumsub(*names)).values()) == len(listeners.pubsubs))
    listeners.start()
    for door in doors:
        for name in names:
            for n in range(count // 10):
                assert door.execute_command("SPUBLISH", name, f"{name} {n}") == len(doors)
    each = len(doors) * (count // 10)
    listeners.wait([each] * len(listeners.pubsubs))
    for number, heard in enumerate(listeners.heard):
        name = names[number % len(names)]
        assert [message[2] for message in heard] == [f"{name} {n}" for n in range(count // 10)] * len(doors), (name, heard[:3])
    assert all(door.publish(names[0], "x") == 0 for door in doors)
    listeners.close()
    return {"in shards": each * len(listeners.pubsubs)}


def keys(doors, count):
    """What happens to keys of all slots is heard at every door."""
    doors[0].config_set("notify-keyspace-events", "E$gx")
    listeners = Listeners()
    for door in doors:
        listeners.add(door, lambda pubsub: pubsub.psubscribe("__keyevent@0__:*"))
    # Each door learns by itself what is wanted.
    until("it to be wanted everywhere", lambda: all(door.config_get("notify-keyspace-events")["notify-keyspace-events"] for door in doors))
    listeners.start()

    def heard_of(key):
        return lambda: all(any(message[3] == key for message in heard) for heard in listeners.heard)

    for place, door in enumerate(doors):
        door.set(f"first-{place}", 1)
        until("events", heard_of(f"first-{place}"))
    for n in range(count):
        door = doors[n % len(doors)]
        door.set(f"key:{n}", n)
        door.pexpire(f"key:{n}", 1 + n % 50)
    until("all to expire", lambda: doors[0].exists(*[f"key:{n}" for n in range(count)]) == 0)
    until("all to be heard of", lambda: all(sum(1 for message in heard if message[2].endswith(":expired")) >= count for heard in listeners.heard))
    for heard in listeners.heard:
        events = {}
        for _, _, channel, key in heard:
            events.setdefault(key, []).append(channel.split(":")[1])
        assert all(events[f"key:{n}"] == ["set", "expire", "expired"] for n in range(count)), events
    listeners.close()
    doors[0].config_set("notify-keyspace-events", "")
    return {"events": 3 * count * len(doors)}


def leaving(doors):
    """Who has left is counted nowhere, whether he said so or not."""
    pubsubs = []
    for door in doors:
        for name in ("gone", "gone*"):
            pubsub = door.pubsub()
            (pubsub.psubscribe if name.endswith("*") else pubsub.subscribe)(name)
            pubsubs.append(pubsub)
    until("them", lambda: all(door.publish("gone", "x") == len(pubsubs) for door in doors))
    for pubsub in pubsubs[::2]:
        pubsub.unsubscribe()
    for pubsub in pubsubs[1::2]:
        pubsub.connection.disconnect()
    until("nobody", lambda: all(door.publish("gone", "x") == 0 and door.pubsub_numpat() == 0 for door in doors))
    return {"left": len(pubsubs)}


application("fanout", main)
