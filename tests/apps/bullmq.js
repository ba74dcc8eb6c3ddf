// BullMQ: thousands of jobs, retries, delays, schedules, priorities, flows, limits, lost workers. Each job notes in this
// process that it ran, so that what the queue says about itself can be compared with what happened.
"use strict";
const assert = require("node:assert/strict");
const { FlowProducer, Queue, QueueEvents, UnrecoverableError, Worker } = require("bullmq");
const { Redis } = require("ioredis");
const { application, sleep, until } = require("./common.js");

// Jobs that one worker runs at a time.
const CONCURRENCY = 50;

application("bullmq", async ({ at, factor, tag }) => {
  const prefix = tag || "bull";
  const app = { factor, shared: { connection: { ...at, maxRetriesPerRequest: null }, prefix }, redis: new Redis(at) };
  const numbers = {};
  const parts = [many, retries, delayed, scheduled, priorities, flows, limited, stalled, managed];
  for (const part of parts) Object.assign(numbers, await part(app));
  return numbers;
});

/** Runs `body` with a queue of that name, and closes whatever it opened. */
async function withQueue(app, name, body) {
  const open = [];
  const keep = (it) => (open.push(it), it);
  const queue = keep(new Queue(name, app.shared));
  const worker = (run, options = {}) => {
    const made = keep(new Worker(name, run, { ...app.shared, concurrency: CONCURRENCY, ...options }));
    made.on("error", (error) => { throw error; });
    return made;
  };
  const result = await body(queue, worker, keep);
  for (const it of open.reverse()) await it.close();
  return result;
}

async function counts(queue, wanted) {
  await until(`${queue.name} to have ${JSON.stringify(wanted)}`, async () => {
    const found = await queue.getJobCounts(...Object.keys(wanted));
    return Object.entries(wanted).every(([state, count]) => found[state] === count);
  });
}

// All jobs run once, whoever of two workers takes them; their results and the events about them are all there.
async function many(app) {
  const total = 2000 * app.factor;
  return withQueue(app, "many", async (queue, worker, keep) => {
    const events = keep(new QueueEvents("many", app.shared));
    await events.waitUntilReady();
    const finished = new Map();
    events.on("completed", ({ jobId, returnvalue }) => finished.set(jobId, returnvalue));
    const runs = new Map();
    const run = async (job) => {
      runs.set(job.id, (runs.get(job.id) || 0) + 1);
      if (job.data.n % 100 === 0) await job.updateProgress(50);
      return { square: job.data.n ** 2 };
    };
    worker(run);
    worker(run);
    for (let from = 0; from < total; from += 200) {
      const jobs = [...Array(Math.min(200, total - from)).keys()].map((n) => ({ name: "square", data: { n: from + n } }));
      await queue.addBulk(jobs);
    }
    const last = await queue.add("square", { n: total });
    assert.deepEqual(await last.waitUntilFinished(events), { square: total ** 2 });
    await counts(queue, { completed: total + 1, active: 0, wait: 0, failed: 0 });
    assert.equal(runs.size, total + 1);
    assert.ok([...runs.values()].every((count) => count === 1));
    await until("events of all jobs", () => finished.size === total + 1);
    const jobs = await queue.getJobs(["completed"], 0, -1);
    assert.equal(jobs.length, total + 1);
    assert.ok(jobs.every((job) => job.returnvalue.square === job.data.n ** 2 && job.attemptsMade === 1));
    return { jobs: total + 1 };
  });
}

async function retries(app) {
  const total = 100 * app.factor;
  return withQueue(app, "retries", async (queue, worker) => {
    const runs = new Map();
    worker(async (job) => {
      const run = (runs.get(job.id) || 0) + 1;
      runs.set(job.id, run);
      if (job.name === "never") throw new Error("never");
      if (job.name === "hopeless") throw new UnrecoverableError("hopeless");
      if (run < 3) throw new Error(`attempt ${run}`);
      return run;
    });
    const options = { attempts: 3, backoff: { type: "exponential", delay: 10 } };
    const named = (name, count) => [...Array(count).keys()].map((n) => ({ name, data: { n }, opts: options }));
    await queue.addBulk([...named("third", total), ...named("never", 10), ...named("hopeless", 10)]);
    await counts(queue, { completed: total, failed: 20, delayed: 0, active: 0, wait: 0 });
    const done = await queue.getCompleted();
    assert.ok(done.every((job) => job.returnvalue === 3 && runs.get(job.id) === 3));
    for (const job of await queue.getFailed()) {
      assert.equal(job.failedReason, job.name);
      assert.equal(runs.get(job.id), job.name === "never" ? 3 : 1);
    }
    await queue.retryJobs({ state: "failed" });
    await counts(queue, { completed: total, failed: 20 });
    return { retried: total + 20 };
  });
}

async function delayed(app) {
  const total = 100 * app.factor;
  return withQueue(app, "delayed", async (queue, worker) => {
    const early = [];
    const ran = new Set();
    worker(async (job) => {
      if (Date.now() < job.timestamp + job.data.delay - 1) early.push(job.data);
      ran.add(job.id);
    });
    const delays = [...Array(total).keys()].map((n) => 100 + ((n * 37) % 900));
    await queue.addBulk(delays.map((delay) => ({ name: "later", data: { delay }, opts: { delay } })));
    const far = await queue.add("far", { delay: 0 }, { delay: 3_600_000 });
    await counts(queue, { completed: total, delayed: 1 });
    await far.promote();
    await counts(queue, { completed: total + 1, delayed: 0 });
    assert.deepEqual(early, []);
    assert.equal(ran.size, total + 1);
    return { delayed: total + 1 };
  });
}

async function scheduled(app) {
  return withQueue(app, "scheduled", async (queue, worker) => {
    const ran = [];
    worker(async (job) => ran.push([job.name, Date.now()]));
    await queue.upsertJobScheduler("tick", { every: 60, limit: 6 }, { name: "tick", data: {} });
    await queue.upsertJobScheduler("cron", { pattern: "* * * * * *", limit: 2 }, { name: "cron", data: {} });
    assert.equal(await queue.getJobSchedulersCount(), 2);
    const count = (name) => ran.filter((run) => run[0] === name).length;
    await until("ticks and crons", () => count("tick") === 6 && count("cron") === 2);
    const whole = ran.filter((run) => run[0] === "cron").map((run) => Math.floor(run[1] / 1000));
    assert.notEqual(whole[0], whole[1]);
    await queue.upsertJobScheduler("gone", { every: 3_600_000 }, { name: "gone" });
    assert.equal(await queue.removeJobScheduler("gone"), true);
    assert.equal(await queue.removeJobScheduler("gone"), false);
    assert.deepEqual([count("tick"), count("cron")], [6, 2]);
    return { scheduled: count("tick") + count("cron") };
  });
}

// Without priority first, then by priority, and in order of arrival among equals.
async function priorities(app) {
  const total = 300 * app.factor;
  return withQueue(app, "priorities", async (queue, worker) => {
    await queue.pause();
    assert.equal(await queue.isPaused(), true);
    const jobs = [...Array(total).keys()].map((n) => ({ n, priority: (n * 7919) % 11 }));
    await queue.addBulk(jobs.map((data) => ({ name: "p", data, opts: { priority: data.priority } })));
    await queue.add("p", { n: -1, priority: 0 }, { lifo: true });
    const order = [];
    worker(async (job) => order.push(job.data.n), { concurrency: 1 });
    await sleep(50);
    assert.equal(order.length, 0);
    await queue.resume();
    await counts(queue, { completed: total + 1 });
    const wanted = jobs.toSorted((a, b) => a.priority - b.priority || a.n - b.n).map((job) => job.n);
    assert.deepEqual(order, [-1, ...wanted]);
    return { "by priority": total + 1 };
  });
}

// A parent runs after all its children, grandchildren included, and reads what they returned.
async function flows(app) {
  const total = 20 * app.factor;
  return withQueue(app, "flows", async (queue, worker, keep) => {
    const producer = keep(new FlowProducer(app.shared));
    const leaf = (n) => ({ name: "leaf", queueName: "flows", data: { n } });
    const inner = (from) => ({ name: "sum", queueName: "flows", children: [...Array(5).keys()].map((n) => leaf(from + n)) });
    const done = [];
    worker(async (job) => {
      done.push(job.id);
      if (job.name === "leaf") return job.data.n;
      const values = Object.values(await job.getChildrenValues());
      return values.reduce((sum, value) => sum + value, 0);
    });
    const trees = await producer.addBulk(
      [...Array(total).keys()].map((n) => ({ name: "sum", queueName: "flows", children: [inner(n), inner(n + 5), leaf(1)] })),
    );
    await counts(queue, { completed: total * 14, "waiting-children": 0, failed: 0 });
    for (const [n, tree] of trees.entries()) {
      const parent = await queue.getJob(tree.job.id);
      const wanted = [...Array(10).keys()].reduce((sum, i) => sum + n + i, 1);
      assert.equal(parent.returnvalue, wanted);
      assert.ok(tree.children.every((child) => done.indexOf(child.job.id) < done.indexOf(parent.id)));
    }
    const flow = await producer.getFlow({ id: trees[0].job.id, queueName: "flows" });
    assert.equal(flow.children.length, 3);
    return { "in flows": done.length };
  });
}

// No more than `max` begin in a window.
async function limited(app) {
  const [total, max, duration] = [60, 20, 300];
  return withQueue(app, "limited", async (queue, worker) => {
    const begun = [];
    worker(async () => begun.push(Date.now()), { limiter: { max, duration } });
    await queue.addBulk([...Array(total).keys()].map((n) => ({ name: "l", data: { n } })));
    await counts(queue, { completed: total });
    assert.equal(begun.length, total);
    assert.ok(begun[total - 1] - begun[0] >= duration, `${total} took ${begun[total - 1] - begun[0]} ms`);
    await queue.setGlobalConcurrency(1);
    let [now, most] = [0, 0];
    await queue.pause();
    await queue.addBulk([...Array(10).keys()].map((n) => ({ name: "l", data: { n } })));
    for (let n = 0; n < 2; n++) {
      worker(async () => { most = Math.max(most, ++now); await sleep(5); now--; });
    }
    await queue.resume();
    await counts(queue, { completed: total + 10 });
    return { limited: total + 10 };
  });
}

// What a worker took and never finished is run by another once its lock has ended.
async function stalled(app) {
  return withQueue(app, "stalled", async (queue, worker, keep) => {
    await queue.addBulk([...Array(10).keys()].map((n) => ({ name: "s", data: { n } })));
    const lost = keep(new Worker("stalled", null, { ...app.shared, lockDuration: 200 }));
    for (let n = 0; n < 5; n++) assert.ok(await lost.getNextJob(`lost-${n}`));
    const ran = new Set();
    const noticed = new Set();
    const saver = worker(async (job) => ran.add(job.data.n), { stalledInterval: 100, lockDuration: 2000 });
    saver.on("stalled", (id) => noticed.add(id));
    await counts(queue, { completed: 10, active: 0 });
    assert.equal(ran.size, 10);
    assert.equal(noticed.size, 5);
    return { stalled: noticed.size };
  });
}

// What dashboards do: look, search, remove, clean, empty.
async function managed(app) {
  return withQueue(app, "managed", async (queue, worker) => {
    const jobs = await queue.addBulk([...Array(50).keys()].map((n) => ({ name: "m", data: { n }, opts: { jobId: `id-${n}` } })));
    await queue.add("m", { n: 0 }, { jobId: "id-0" });
    assert.equal(await queue.count(), 50);
    await jobs[3].updateData({ n: 33 });
    await jobs[3].log("a line");
    assert.deepEqual((await queue.getJobLogs("id-3")).logs, ["a line"]);
    assert.equal((await queue.getJob("id-3")).data.n, 33);
    await jobs[4].remove();
    assert.equal(await queue.getJob("id-4"), undefined);
    assert.equal(await jobs[5].getState(), "waiting");
    assert.deepEqual((await queue.getWaiting(0, 1)).map((job) => job.id), ["id-0", "id-1"]);
    await queue.add("d", {}, { deduplication: { id: "one" }, delay: 5000 });
    await queue.add("d", {}, { deduplication: { id: "one" }, delay: 5000 });
    assert.equal(await queue.getDelayedCount(), 1);
    worker(async () => "done", { metrics: { maxDataPoints: 10 } });
    await counts(queue, { completed: 49, delayed: 1 });
    assert.equal((await queue.getWorkers()).length, 1);
    assert.equal((await queue.getMetrics("completed")).meta.count, 49);
    assert.equal((await queue.clean(0, 10, "completed")).length, 10);
    await queue.drain(true);
    await counts(queue, { completed: 39, delayed: 0 });
    await queue.trimEvents(0);
    await queue.pause();
    await queue.obliterate();
    const left = await app.redis.keys(`${app.shared.prefix}:managed:*`);
    assert.deepEqual(left.filter((key) => !key.endsWith(":stalled-check")), []);
    return { managed: 50 };
  });
}
