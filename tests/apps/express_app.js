// connect-redis: an Express server with sessions in the cache. Visitors compare what they are told with what they did.
"use strict";
const assert = require("node:assert/strict");
const http = require("node:http");
const express = require("express");
const session = require("express-session");
const { RedisStore } = require("connect-redis");
const { createClient } = require("redis");
const { application, until } = require("./common.js");

// Visitors who come at the same time.
const AT_ONCE = 20;

application("connect-redis", async ({ at, factor }) => {
  const total = 200 * factor;
  const client = createClient({ socket: at });
  await client.connect();
  const store = new RedisStore({ client, prefix: "shop:", ttl: 600 });
  const [port, web] = await serve(store);
  const agent = new http.Agent({ keepAlive: true, maxSockets: AT_ONCE });
  const ask = (path, cookie) => request(agent, port, path, cookie);

  const cookies = [];
  for (let from = 0; from < total; from += AT_ONCE) {
    const group = [...Array(Math.min(AT_ONCE, total - from)).keys()].map((n) => visit(ask, from + n));
    cookies.push(...(await Promise.all(group)));
  }
  const left = cookies.filter((_, n) => n % 10 !== 0);
  assert.equal(await store.length(), left.length);
  assert.equal((await store.ids()).length, left.length);
  const all = await store.all();
  assert.deepEqual(new Set(all.map((each) => each.user)), new Set([...Array(total).keys()].filter((n) => n % 10 !== 0).map((n) => `user-${n}`)));
  for (const each of all) {
    const kept = JSON.parse(await client.get(`shop:${each.id}`));
    assert.equal(kept.visits, each.visits);
    const ttl = await client.ttl(`shop:${each.id}`);
    assert.ok(ttl > 500 && ttl <= 600, ttl);
  }
  const id = all[0].id;
  await client.pExpire(`shop:${id}`, 20);
  await until("a session to end", async () => (await client.exists(`shop:${id}`)) === 0);
  assert.ok(!(await store.get(id)));
  await store.clear();
  assert.equal(await store.length(), 0);
  assert.equal((await ask("/", left[1])).body.user, null);
  web.close();
  await client.close();
  return { visitors: total, sessions: left.length };
});

async function serve(store) {
  const app = express();
  app.use(session({ store, secret: "not one", resave: false, saveUninitialized: false }));
  app.get("/login/:name", (req, res, next) => {
    req.session.regenerate((error) => {
      if (error) return next(error);
      Object.assign(req.session, { user: req.params.name, visits: 0 });
      res.json({ user: req.session.user });
    });
  });
  app.get("/visit", (req, res) => res.json({ visits: ++req.session.visits }));
  app.get("/", (req, res) => res.json({ user: req.session.user ?? null, visits: req.session.visits ?? 0 }));
  app.get("/logout", (req, res, next) => req.session.destroy((error) => (error ? next(error) : res.json({}))));
  const web = http.createServer(app);
  await new Promise((resolve) => web.listen(0, "127.0.0.1", resolve));
  return [web.address().port, web];
}

function request(agent, port, path, cookie) {
  return new Promise((resolve, reject) => {
    const headers = cookie ? { cookie } : {};
    http.get({ agent, port, path, headers, host: "127.0.0.1" }, (response) => {
      let text = "";
      response.on("data", (part) => (text += part));
      response.on("end", () => {
        if (response.statusCode !== 200) return reject(new Error(`${path}: ${response.statusCode} ${text}`));
        const set = response.headers["set-cookie"];
        resolve({ body: JSON.parse(text), cookie: set ? set[0].split(";")[0] : cookie });
      });
    }).on("error", reject);
  });
}

/** One visitor; his cookie. */
async function visit(ask, n) {
  assert.deepEqual((await ask("/")).body, { user: null, visits: 0 });
  const { body, cookie } = await ask(`/login/user-${n}`);
  assert.deepEqual(body, { user: `user-${n}` });
  for (let visits = 1; visits <= 1 + (n % 5); visits++) assert.deepEqual((await ask("/visit", cookie)).body, { visits });
  assert.deepEqual((await ask("/", cookie)).body, { user: `user-${n}`, visits: 1 + (n % 5) });
  if (n % 10 === 0) {
    await ask("/logout", cookie);
    assert.deepEqual((await ask("/", cookie)).body, { user: null, visits: 0 });
  }
  return cookie;
}
