// ioredis against a server that speaks RESP, as a single server and as a cluster: ioredis.js PORT
"use strict";
const assert = require("node:assert/strict");
const { Cluster, Redis } = require("ioredis");

const port = Number(process.argv[2]);

async function single() {
  const redis = new Redis({ port, host: "127.0.0.1", connectionName: "ours" });
  assert.equal(await redis.ping(), "PONG");
  await redis.flushall();
  assert.equal(await redis.client("GETNAME"), "ours");
  assert.equal(await redis.set("k", "v", "EX", 100), "OK");
  assert.equal(await redis.get("k"), "v");
  assert.equal(await redis.set("k", "w", "NX"), null);
  assert.deepEqual(await redis.mget("k", "nosuch"), ["v", null]);
  assert.equal(await redis.incrby("n", 5), 5);
  assert.deepEqual(await redis.getBuffer("k"), Buffer.from("v"));
  const pipeline = redis.pipeline();
  for (let n = 0; n < 1000; n++) pipeline.set(`key:${n}`, n);
  const answers = await pipeline.exec();
  assert.equal(answers.length, 1000);
  assert.ok(answers.every(([error, answer]) => error === null && answer === "OK"));
  assert.deepEqual(await redis.multi().incr("n").get("n").exec(), [[null, 6], [null, "6"]]);
  await assert.rejects(redis.incr("k"), /not an integer/);
  await assert.rejects(redis.call("NOSUCH"), /unknown command/);
  const seen = new Set();
  for await (const keys of redis.scanStream({ match: "key:*", count: 100 })) keys.forEach((key) => seen.add(key));
  assert.equal(seen.size, 1000);
  const all = await Promise.all([...Array(2000).keys()].map((n) => redis.get(`key:${n % 1000}`)));
  assert.ok(all.every((value, n) => value === String(n % 1000)));
  const other = redis.duplicate({ db: 2 });
  await other.set("k", "two");
  assert.equal(await other.get("k"), "two");
  assert.equal(await redis.get("k"), "v");
  assert.match(await redis.info("server"), /redis_version:7\.2\.4/);
  assert.equal(await redis.quit(), "OK");
  await other.quit();
}

async function cluster() {
  const redis = new Cluster([{ host: "127.0.0.1", port }]);
  for (let n = 0; n < 200; n++) assert.equal(await redis.set(`c:${n}`, n), "OK");
  for (let n = 0; n < 200; n++) assert.equal(await redis.get(`c:${n}`), String(n));
  assert.equal(await redis.mset("{t}a", 1, "{t}b", 2), "OK");
  assert.deepEqual(await redis.mget("{t}a", "{t}b"), ["1", "2"]);
  assert.equal(redis.nodes("master").length, 1);
  await redis.quit();
}

const todo = process.argv[3] === "cluster" ? cluster() : single();
todo.then(
  () => console.log("ok"),
  (error) => {
    console.error(error);
    process.exit(1);
  },
);
