// Redlock: many takers of one lock, each of which changes a number that is not atomic; locks that end, that are extended,
// and that another has.
"use strict";
const assert = require("node:assert/strict");
const { Redis } = require("ioredis");
const Redlock = require("redlock");
const { application, sleep, until } = require("./common.js");

application("redlock", async ({ at, factor }) => {
  const takers = [...Array(10).keys()].map(() => {
    const client = new Redis(at);
    return new Redlock([client], { retryCount: -1, retryDelay: 2, retryJitter: 5 });
  });
  const rounds = 20 * factor;
  let [total, inside] = [0, 0];
  await Promise.all(takers.map(async (taker) => {
    for (let n = 0; n < rounds; n++) {
      const lock = await taker.lock("lock", 10_000);
      assert.equal(++inside, 1);
      const seen = total;
      await sleep(0);
      total = seen + 1;
      inside--;
      await lock.unlock();
    }
  }));
  assert.equal(total, takers.length * rounds);

  const client = new Redis(at);
  assert.equal(await client.exists("lock"), 0);
  const impatient = new Redlock([client], { retryCount: 2, retryDelay: 1 });
  const held = await takers[0].lock(["a", "b"].slice(0, 1), 5000);
  await assert.rejects(impatient.lock("a", 100), /attempts to lock/);
  const ttl = await client.pttl("a");
  assert.ok(ttl > 4000 && ttl <= 5000, ttl);
  await held.extend(20_000);
  assert.ok((await client.pttl("a")) > 15_000);
  await held.unlock();
  await assert.rejects(held.unlock(), /Unable to fully release/);
  const short = await impatient.lock("a", 30);
  await until("a lock to end", async () => (await client.exists("a")) === 0);
  await assert.rejects(short.extend(100));
  assert.ok(await impatient.lock("a", 100));
  return { "under locks": total };
});
