// ioredis as applications use it: automatic pipelines, scripts as commands, streams, subscriptions, blocking,
// transactions, scans, MONITOR.
"use strict";
const assert = require("node:assert/strict");
const { Redis } = require("ioredis");
const { application, until } = require("./common.js");

application("ioredis", async ({ at, factor, tag }) => {
  const key = (name) => `${tag}${name}`;
  const open = (options = {}) => new Redis({ ...at, ...options });
  const app = { open, key, factor, redis: open({ enableAutoPipelining: true }) };
  const numbers = {};
  for (const part of [pipelines, scripts, streams, subscriptions, blocking, transactions, scans, monitor]) {
    Object.assign(numbers, await part(app));
  }
  return numbers;
});

async function pipelines({ redis, key, factor }) {
  const total = 5000 * factor;
  const numbers = [...Array(total).keys()];
  const set = await Promise.all(numbers.map((n) => redis.set(key(`p:${n}`), n, "EX", 300)));
  assert.ok(set.every((answer) => answer === "OK"));
  const got = await Promise.all(numbers.map((n) => redis.get(key(`p:${n}`))));
  assert.deepEqual(got, numbers.map(String));
  const mixed = await redis.pipeline().incr(key("n")).get(key("p:7")).hset(key("p:8"), "a", 1).exec();
  assert.deepEqual(mixed.slice(0, 2), [[null, 1], [null, "7"]]);
  assert.match(mixed[2][0].message, /^WRONGTYPE/);
  await redis.unlink(...numbers.map((n) => key(`p:${n}`)));
  assert.equal(await redis.exists(key("p:1")), 0);
  return { "in pipelines": 2 * total };
}

async function scripts({ open, redis, key }) {
  const lua = "local n = redis.call('incrby', KEYS[1], ARGV[1]); redis.call('rpush', KEYS[2], n); return {n, redis.call('llen', KEYS[2])}";
  redis.defineCommand("addto", { numberOfKeys: 2, lua });
  for (let n = 1; n <= 100; n++) assert.deepEqual(await redis.addto(key("sum"), key("sums"), 2), [2 * n, n]);
  const pipeline = redis.pipeline();
  for (let n = 101; n <= 200; n++) pipeline.addto(key("sum"), key("sums"), 2);
  assert.deepEqual((await pipeline.exec()).at(-1), [null, [400, 200]]);
  redis.defineCommand("wrong", { numberOfKeys: 0, lua: "return redis.error_reply('MYERR not so')" });
  await assert.rejects(redis.wrong(), /^ReplyError: MYERR not so/);
  redis.defineCommand("nothing", { numberOfKeys: 0, lua: "return {1, false, 3}", readOnly: true });
  assert.deepEqual(await redis.nothing(), [1, null, 3]);
  await redis.script("FLUSH");
  assert.deepEqual(await redis.addto(key("sum"), key("sums"), 2), [402, 201]);
  const other = open({ scripts: { twice: { lua: "return ARGV[1] .. ARGV[1]", numberOfKeys: 0 } } });
  assert.equal(await other.twice("ab"), "abab");
  await redis.function("LOAD", "REPLACE", "#!lua name=mine\nredis.register_function('plus', function(k, a) return a[1] + a[2] end)");
  assert.equal(await redis.fcall("plus", 0, 20, 22), 42);
  await redis.function("DELETE", "mine");
  await other.quit();
  return { scripts: 206 };
}

// A producer, three members of a group, one of which leaves its entries to another.
async function streams({ open, redis, key, factor }) {
  const [stream, total] = [key("stream"), 300 * factor];
  await redis.xgroup("CREATE", stream, "group", "$", "MKSTREAM");
  const seen = new Set();
  const member = async (name) => {
    const client = open();
    for (;;) {
      const answer = await client.xreadgroup("GROUP", "group", name, "COUNT", 10, "BLOCK", 200, "STREAMS", stream, ">");
      if (!answer && seen.size === total - 1) return client.quit();
      for (const [id, fields] of answer?.[0]?.[1] ?? []) {
        seen.add(fields[1]);
        await client.xack(stream, "group", id);
      }
    }
  };
  const lost = open();
  const first = lost.xreadgroup("GROUP", "group", "lost", "COUNT", 5, "BLOCK", 5000, "STREAMS", stream, ">");
  await redis.xadd(stream, "MAXLEN", "~", 10_000, "*", "n", "0");
  assert.equal((await first)[0][1].length, 1);
  const members = ["a", "b", "c"].map(member);
  for (let n = 1; n < total; n++) await redis.xadd(stream, "*", "n", n);
  await until("the group to read all", () => seen.size === total - 1);
  const [, claimed] = await redis.xautoclaim(stream, "group", "a", 0, "0", "COUNT", 10);
  assert.deepEqual(claimed.map(([, fields]) => fields), [["n", "0"]]);
  await redis.xack(stream, "group", claimed[0][0]);
  await Promise.all(members);
  assert.equal((await redis.xinfo("GROUPS", stream))[0][1], "group");
  assert.equal((await redis.xpending(stream, "group"))[0], 0);
  assert.equal(await redis.xlen(stream), total);
  await lost.quit();
  return { "in streams": total };
}

async function subscriptions({ open, redis, key, factor }) {
  const total = 500 * factor;
  const heard = [];
  const sub = open();
  sub.on("message", (channel, text) => heard.push([channel, text]));
  sub.on("pmessage", (pattern, channel, text) => heard.push([pattern, channel, text]));
  sub.on("smessage", (channel, text) => heard.push(["shard", channel, text]));
  assert.equal(await sub.subscribe(key("news"), key("other")), 2);
  assert.equal(await sub.psubscribe(key("n?ws")), 3);
  await sub.ssubscribe(key("shard"));
  assert.equal(await sub.get(key("nosuch")), null);
  for (let n = 0; n < total; n++) assert.equal(await redis.publish(key("news"), n), 2);
  assert.equal(await redis.spublish(key("shard"), "hello"), 1);
  await until("all messages", () => heard.length === 2 * total + 1);
  const numbers = [...Array(total).keys()].map(String);
  assert.deepEqual(heard.filter((line) => line.length === 2).map((line) => line[1]), numbers);
  assert.deepEqual(heard.filter((line) => line[0] === key("n?ws")).map((line) => line[2]), numbers);
  assert.equal(await sub.unsubscribe(key("news")), 2);
  assert.equal(await redis.publish(key("news"), "one"), 1);
  // Without a name this client waits until no subscription of any kind is left.
  await sub.punsubscribe(key("n?ws"));
  await sub.sunsubscribe(key("shard"));
  await sub.unsubscribe();
  assert.equal(await sub.ping(), "PONG");
  await sub.quit();
  return { messages: 2 * total + 1 };
}

async function blocking({ open, redis, key, factor }) {
  const total = 300 * factor;
  const taken = [];
  const work = async () => {
    const client = open();
    for (;;) {
      const [, value] = await client.blpop(key("list"), key("second"), 5);
      if (value === "end") return client.quit();
      taken.push(value);
    }
  };
  const workers = [work(), work(), work()];
  for (let n = 0; n < total; n++) await redis.rpush(n % 2 ? key("list") : key("second"), n);
  await until("all to be taken", () => taken.length === total);
  for (const _ of workers) await redis.lpush(key("list"), "end");
  await Promise.all(workers);
  assert.equal(new Set(taken).size, total);
  const client = open();
  assert.equal(await client.blpop(key("list"), 0.01), null);
  await redis.zadd(key("zset"), 2, "b", 1, "a");
  assert.deepEqual(await client.bzpopmin(key("zset"), 1), [key("zset"), "a", "1"]);
  const moved = client.blmove(key("from"), key("to"), "LEFT", "RIGHT", 5);
  await redis.rpush(key("from"), "x");
  assert.equal(await moved, "x");
  await client.quit();
  return { taken: total };
}

async function transactions({ open, key, factor }) {
  const rounds = 50 * factor;
  const clients = [open(), open(), open()];
  let again = 0;
  await clients[0].set(key("watched"), 0);
  await Promise.all(clients.map(async (client) => {
    for (let n = 0; n < rounds; ) {
      await client.watch(key("watched"));
      const value = Number(await client.get(key("watched")));
      const done = await client.multi().set(key("watched"), value + 1).exec();
      if (done) n++;
      else again++;
    }
  }));
  assert.equal(await clients[0].get(key("watched")), String(3 * rounds));
  assert.ok(again > 0, "they never met");
  await assert.rejects(clients[0].multi().set(key("a")).exec(), /EXECABORT/);
  const [a, b] = await clients[0].multi().set(key("a"), "text").incr(key("a")).exec();
  assert.deepEqual([a[1], b[0].message], ["OK", "ERR value is not an integer or out of range"]);
  await Promise.all(clients.map((client) => client.quit()));
  return { transactions: 3 * rounds };
}

async function scans({ redis, key }) {
  await redis.hset(key("hash"), Object.fromEntries([...Array(1000).keys()].map((n) => [`f${n}`, n])));
  const seen = new Map();
  for await (const part of redis.hscanStream(key("hash"), { count: 50 })) {
    for (let n = 0; n < part.length; n += 2) seen.set(part[n], part[n + 1]);
  }
  assert.equal(seen.size, 1000);
  return { scanned: seen.size };
}

async function monitor({ open, redis, key }) {
  const watching = await open().monitor();
  const lines = [];
  watching.on("monitor", (time, args) => lines.push(args));
  await redis.set(key("seen"), "by monitor");
  await until("it to be seen", () => lines.some((args) => args.join(" ").toLowerCase() === `set ${key("seen")} by monitor`));
  watching.disconnect();
  return { monitored: 1 };
}
