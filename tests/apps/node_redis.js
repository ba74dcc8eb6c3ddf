// node-redis as applications use it, in RESP2 and RESP3: scripts, functions, subscriptions, blocking, streams,
// transactions, iterators, a pool, and a cache at the client that the server keeps fresh.
"use strict";
const assert = require("node:assert/strict");
const { BasicClientSideCache, WatchError, createClient, createClientPool, defineScript } = require("redis");
const { application, until } = require("./common.js");

const SCRIPTS = {
  addTo: defineScript({
    SCRIPT: "return redis.call('INCRBY', KEYS[1], ARGV[1])",
    NUMBER_OF_KEYS: 1,
    FIRST_KEY_INDEX: 1,
    parseCommand(parser, key, by) {
      parser.pushKey(key);
      parser.push(String(by));
    },
    transformReply: (reply) => reply,
  }),
};

application("node-redis", async ({ at, factor, tag }) => {
  const key = (name) => `${tag}${name}`;
  const numbers = {};
  for (const RESP of [2, 3]) {
    const open = async (options = {}) => {
      const client = createClient({ socket: at, RESP, scripts: SCRIPTS, ...options });
      client.on("error", (error) => { throw error; });
      return client.connect();
    };
    const app = { open, key: (name) => key(`${RESP}:${name}`), factor, RESP, client: await open() };
    for (const part of [values, scripts, subscriptions, blocking, streams, transactions]) {
      for (const [what, count] of Object.entries(await part(app))) numbers[what] = (numbers[what] || 0) + count;
    }
    await app.client.close();
    if (RESP === 3) Object.assign(numbers, await cached({ ...app, at }));
  }
  return numbers;
});

async function values({ client, key, factor }) {
  const total = 1000 * factor;
  const numbers = [...Array(total).keys()];
  await Promise.all(numbers.map((n) => client.set(key(`v:${n}`), n, { expiration: { type: "EX", value: 300 } })));
  assert.deepEqual(await Promise.all(numbers.map((n) => client.get(key(`v:${n}`)))), numbers.map(String));
  const seen = new Set();
  for await (const keys of client.scanIterator({ MATCH: key("v:*"), COUNT: 100 })) keys.forEach((each) => seen.add(each));
  assert.equal(seen.size, total);
  await client.hSet(key("h"), { a: 1, b: 2 });
  assert.deepEqual({ ...(await client.hGetAll(key("h"))) }, { a: "1", b: "2" });
  await client.zAdd(key("z"), [{ score: 1.5, value: "a" }, { score: 2, value: "b" }]);
  assert.deepEqual(await client.zRangeWithScores(key("z"), 0, -1), [{ score: 1.5, value: "a" }, { score: 2, value: "b" }]);
  assert.equal(await client.zScore(key("z"), "a"), 1.5);
  assert.deepEqual(new Set(await client.sendCommand(["HKEYS", key("h")])), new Set(["a", "b"]));
  return { values: total };
}

async function scripts({ client, key }) {
  for (let n = 1; n <= 50; n++) assert.equal(await client.addTo(key("sum"), 3), 3 * n);
  await client.scriptFlush();
  assert.equal(await client.addTo(key("sum"), 3), 153);
  assert.equal(await client.eval("return #KEYS + ARGV[1]", { keys: [key("a"), key("b")], arguments: ["40"] }), 42);
  const code = "#!lua name=shop\nredis.register_function{function_name='price', callback=function(k, a) return redis.call('GET', k[1]) end, flags={'no-writes'}}";
  assert.equal(await client.functionLoad(code, { REPLACE: true }), "shop");
  assert.equal(await client.fCallRo("price", { keys: [key("sum")], arguments: [] }), "153");
  const [library] = await client.functionList();
  assert.equal(library.library_name, "shop");
  const dump = await client.withTypeMapping({ 36: Buffer }).functionDump();
  await client.functionDelete("shop");
  await client.functionRestore(dump);
  assert.equal(await client.fCall("price", { keys: [key("sum")], arguments: [] }), "153");
  await client.functionFlush();
  return { scripts: 54 };
}

async function subscriptions({ open, client, key, factor }) {
  const total = 300 * factor;
  const sub = await open();
  const heard = { plain: [], pattern: [], shard: [], keys: [] };
  await sub.subscribe(key("news"), (text) => heard.plain.push(text));
  await sub.pSubscribe(key("n*"), (text) => heard.pattern.push(text));
  await sub.sSubscribe(key("shard"), (text) => heard.shard.push(text));
  for (let n = 0; n < total; n++) assert.equal(await client.publish(key("news"), String(n)), 2);
  await client.sPublish(key("shard"), "hello");
  const before = (await client.configGet("notify-keyspace-events"))["notify-keyspace-events"];
  await client.configSet("notify-keyspace-events", "K$gxe");
  await sub.pSubscribe(`__keyspace@0__:${key("noted*")}`, (event, channel) => heard.keys.push(`${channel.split(":").at(-1)} ${event}`));
  await client.set(key("noted1"), "v");
  await client.pExpire(key("noted1"), 20);
  await until("it to expire", async () => (await client.get(key("noted1"))) === null);
  await until("all messages", () => heard.plain.length === total && heard.pattern.length === total && heard.keys.length === 3);
  await client.configSet("notify-keyspace-events", before);
  assert.deepEqual(heard.plain, [...Array(total).keys()].map(String));
  assert.deepEqual(heard.pattern, heard.plain);
  assert.deepEqual(heard.keys, ["noted1 set", "noted1 expire", "noted1 expired"]);
  await until("the shard's message", () => heard.shard.length === 1);
  await sub.unsubscribe();
  await sub.pUnsubscribe();
  await sub.sUnsubscribe();
  assert.equal(String(await sub.ping()), "PONG");
  await sub.close();
  return { messages: 2 * total + 4 };
}

async function blocking({ open, client, key, factor }) {
  const total = 200 * factor;
  const taken = [];
  const work = async () => {
    const own = await open();
    for (;;) {
      const { element } = await own.blPop(key("list"), 5);
      if (element === "end") return own.close();
      taken.push(element);
    }
  };
  const workers = [work(), work()];
  for (let n = 0; n < total; n++) await client.rPush(key("list"), String(n));
  await until("all to be taken", () => taken.length === total);
  await client.rPush(key("list"), ["end", "end"]);
  await Promise.all(workers);
  assert.equal(new Set(taken).size, total);
  const own = await open();
  assert.equal(await own.blPop(key("list"), 0.01), null);
  const popped = own.bzPopMin(key("bz"), 5);
  await client.zAdd(key("bz"), { score: 3, value: "m" });
  assert.deepEqual(await popped, { key: key("bz"), value: "m", score: 3 });
  await own.close();
  return { taken: total };
}

async function streams({ open, client, key, factor }) {
  const total = 100 * factor;
  const own = await open();
  await client.xGroupCreate(key("s"), "g", "0", { MKSTREAM: true });
  const reading = (async () => {
    const seen = [];
    while (seen.length < total) {
      const answer = await own.xReadGroup("g", "me", { key: key("s"), id: ">" }, { COUNT: 10, BLOCK: 5000 });
      for (const { id, message } of Object.values(answer)[0].messages ?? answer[key("s")]) {
        seen.push(message.n);
        await client.xAck(key("s"), "g", id);
      }
    }
    return seen;
  })();
  for (let n = 0; n < total; n++) await client.xAdd(key("s"), "*", { n: String(n) });
  assert.deepEqual(await reading, [...Array(total).keys()].map(String));
  assert.equal((await client.xPending(key("s"), "g")).pending, 0);
  await own.close();
  return { "in streams": total };
}

// Members of a pool change one number, and begin again when another was first.
async function transactions({ client, key, factor, open }) {
  const rounds = 30 * factor;
  const pool = await Promise.all([open(), open(), open()]);
  await client.set(key("n"), 0);
  let again = 0;
  await Promise.all(pool.map(async (own) => {
    for (let n = 0; n < rounds; ) {
      await own.watch(key("n"));
      const value = Number(await own.get(key("n")));
      try {
        await own.multi().set(key("n"), String(value + 1)).get(key("n")).exec();
        n++;
      } catch (error) {
        assert.ok(error instanceof WatchError, error);
        again++;
      }
    }
  }));
  assert.equal(await client.get(key("n")), String(3 * rounds));
  assert.ok(again > 0, "they never met");
  await Promise.all(pool.map((own) => own.close()));
  return { transactions: 3 * rounds };
}

// What one client has read is kept at it until another changes it.
async function cached({ client: _, at, key, factor }) {
  const rounds = 100 * factor;
  const cache = new BasicClientSideCache({ maxEntries: 1000, ttl: 0 });
  const reader = await createClient({ socket: at, RESP: 3, clientSideCache: cache }).connect();
  const pool = await createClientPool({ socket: at }, { maximum: 4 }).connect();
  const noticed = [];
  cache.on("invalidate", (name) => noticed.push(String(name)));
  for (let n = 0; n < rounds; n++) {
    await pool.set(key("c"), String(n));
    await until("the news", async () => (await reader.get(key("c"))) === String(n));
    assert.equal(await reader.get(key("c")), String(n));
    assert.equal(await reader.get(key("c")), String(n));
  }
  const stats = cache.stats();
  assert.ok(stats.hitCount >= 2 * rounds && stats.missCount <= 2 * rounds, stats);
  await until("invalidations", () => noticed.length >= rounds - 1);
  await pool.flushDb();
  await until("an empty cache", async () => (await reader.get(key("c"))) === null);
  await pool.close();
  await reader.close();
  return { "read from the client's cache": stats.hitCount };
}
