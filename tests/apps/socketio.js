// Socket.IO: two servers that share rooms, broadcasts, acknowledgements and requests through the cache, with each of its
// three adapters. What arrives is compared with what was sent, at every client.
"use strict";
const assert = require("node:assert/strict");
const http = require("node:http");
const { createAdapter, createShardedAdapter } = require("@socket.io/redis-adapter");
const { createAdapter: createStreamsAdapter } = require("@socket.io/redis-streams-adapter");
const { Emitter } = require("@socket.io/redis-emitter");
const { createClient } = require("redis");
const { Redis } = require("ioredis");
const { Server } = require("socket.io");
const { io } = require("socket.io-client");
const { application, until } = require("./common.js");

// Clients of each server.
const CLIENTS = 10;

application("socketio", async ({ addresses, factor, tag }) => {
  const numbers = {};
  const url = (n) => addresses[n % addresses.length];
  const kinds = {
    "by pub/sub (ioredis)": (n) => {
      const pub = new Redis(url(n));
      return { adapter: createAdapter(pub, pub.duplicate(), { key: `${tag}io` }), emitter: () => new Emitter(pub, { key: `${tag}io` }) };
    },
    "by pub/sub (redis)": async (n) => {
      const [pub, sub] = await pair(url(n));
      return { adapter: createAdapter(pub, sub, { key: `${tag}nr` }) };
    },
    "by sharded pub/sub": async (n) => {
      const [pub, sub] = await pair(url(n));
      return { adapter: createShardedAdapter(pub, sub, { channelPrefix: `${tag}sharded` }) };
    },
    "by streams": async (n) => {
      const [client] = await pair(url(n));
      return { adapter: createStreamsAdapter(client, { streamName: `${tag}stream`, readCount: 100 }) };
    },
  };
  for (const [name, connect] of Object.entries(kinds)) numbers[name] = await conversation(connect, 100 * factor);
  return numbers;
});

async function pair({ host, port }) {
  const pub = createClient({ socket: { host, port } });
  const sub = pub.duplicate();
  await Promise.all([pub.connect(), sub.connect()]);
  return [pub, sub];
}

async function serve(connect, n) {
  const { adapter, emitter } = await connect(n);
  const web = http.createServer();
  const server = new Server(web, { adapter, transports: ["websocket"] });
  server.on("connection", (socket) => {
    socket.on("join", (room, done) => Promise.resolve(socket.join(room)).then(() => done()));
    socket.on("say", (room, text) => socket.to(room).emit("said", text));
  });
  await new Promise((resolve) => web.listen(0, "127.0.0.1", resolve));
  return { server, port: web.address().port, emitter };
}

async function connectClient(port, number) {
  const socket = io(`http://127.0.0.1:${port}`, { transports: ["websocket"], forceNew: true, reconnection: false });
  const client = { socket, number, heard: [] };
  for (const event of ["all", "room", "local", "said", "emitted"]) socket.on(event, (value) => client.heard.push(`${event} ${value}`));
  socket.on("ask", (value, answer) => answer(`${number}:${value}`));
  socket.on("disconnect", () => (client.gone = true));
  await new Promise((resolve, reject) => socket.on("connect", resolve).on("connect_error", reject));
  return client;
}

async function conversation(connect, total) {
  const one = await serve(connect, 0);
  const two = await serve(connect, 1);
  const servers = [one.server, two.server];
  await until("the servers to know each other", async () => (await one.server.of("/").adapter.serverCount()) === 2);
  const clients = [];
  for (let n = 0; n < 2 * CLIENTS; n++) clients.push(await connectClient([one, two][n % 2].port, n));
  const members = clients.filter((client) => client.number % 4 < 2);
  await Promise.all(members.map((client) => client.socket.emitWithAck("join", "room")));
  await until("all to be seen from everywhere", async () => {
    const [seen, inRoom] = [await two.server.fetchSockets(), await one.server.in("room").fetchSockets()];
    return seen.length === 2 * CLIENTS && inRoom.length === members.length;
  });

  const messages = await broadcasts(servers, clients, members, total);
  const answers = await one.server.timeout(20_000).emitWithAck("ask", "who");
  assert.deepEqual(answers.toSorted(), clients.map((client) => `${client.number}:who`).toSorted());
  await questions(servers);
  await management(servers, clients, members);
  if (one.emitter) await emitted(one.emitter(), clients);
  for (const { socket } of clients) socket.disconnect();
  await until("nobody", async () => (await one.server.fetchSockets()).length === 0);
  await Promise.all(servers.map((server) => server.close()));
  return messages;
}

/** Everybody hears what is meant for him, once, in the order in which one server said it. */
async function broadcasts(servers, clients, members, total) {
  for (let n = 0; n < total; n++) {
    servers[n % 2].emit("all", n);
    servers[n % 2].to("room").emit("room", n);
    servers[n % 2].local.emit("local", n);
    servers[n % 2].except("room").emit("said", `not the room ${n}`);
    members[n % members.length].socket.emit("say", "room", `by ${n}`);
  }
  const numbers = [...Array(total).keys()];
  let messages = 0;
  for (const client of clients) {
    const isMember = members.includes(client);
    const wanted = [
      ...numbers.map((n) => `all ${n}`),
      ...numbers.filter((n) => n % 2 === client.number % 2).map((n) => `local ${n}`),
      ...numbers.filter(() => isMember).map((n) => `room ${n}`),
      ...numbers.filter(() => !isMember).map((n) => `said not the room ${n}`),
      ...numbers.filter((n) => isMember && members[n % members.length] !== client).map((n) => `said by ${n}`),
    ];
    await until(`client ${client.number} to hear all`, () => client.heard.length >= wanted.length);
    assert.deepEqual(client.heard.toSorted(), wanted.toSorted());
    for (const half of [0, 1]) {
      const order = client.heard.filter((line) => line.startsWith("all ")).map((line) => Number(line.slice(4)));
      const own = order.filter((n) => n % 2 === half);
      assert.deepEqual(own, own.toSorted((a, b) => a - b));
    }
    messages += wanted.length;
    client.heard.length = 0;
  }
  return messages;
}

/** Servers ask each other. */
async function questions([one, two]) {
  let told = 0;
  two.on("tell", (value) => (told += value));
  two.on("question", (value, answer) => answer(value + 1));
  one.serverSideEmit("tell", 7);
  assert.deepEqual(await one.serverSideEmitWithAck("question", 41), [42]);
  await until("it to be told", () => told === 7);
}

/** A server moves and ends clients of the other. */
async function management([one, two], clients, members) {
  one.in("room").socketsJoin("second");
  await until("them to be in it", async () => (await two.in("second").fetchSockets()).length === members.length);
  two.in("second").socketsLeave("room");
  await until("them to have left", async () => (await one.in("room").fetchSockets()).length === 0);
  const rooms = await one.of("/").adapter.allRooms?.();
  if (rooms) assert.ok(rooms.has("second") && !rooms.has("room"));
  const last = clients.at(-1);
  one.in(last.socket.id).disconnectSockets(true);
  await until("it to be gone", () => last.gone);
}

/** A process without clients speaks to them all. */
async function emitted(emitter, clients) {
  for (let n = 0; n < 20; n++) emitter.emit("emitted", n);
  const wanted = [...Array(20).keys()].map((n) => `emitted ${n}`);
  for (const client of clients.filter((client) => !client.gone)) {
    await until("it to be heard", () => client.heard.length >= wanted.length);
    assert.deepEqual(client.heard, wanted);
  }
}
