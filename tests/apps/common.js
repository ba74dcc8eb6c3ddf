// What the applications in JavaScript share: their arguments, waiting for a condition, the summary line, leaving.
"use strict";

// Milliseconds that any single thing may take before an application gives up on it.
const DEADLINE_MS = 30_000;

// Milliseconds between two looks at a condition.
const POLL_MS = 5;

/** Arguments: ADDRESS[,ADDRESS...] [FACTOR [TAG]]; several addresses are doors to one cache. */
function options() {
  const addresses = (process.argv[2] || process.env.SWELL_ADDRESS || "127.0.0.1:6379").split(",").map((address) => {
    const at = address.lastIndexOf(":");
    return { host: address.slice(0, at), port: Number(address.slice(at + 1)) };
  });
  return { addresses, at: addresses[0], factor: Number(process.argv[3] || 1), tag: process.argv[4] || "" };
}

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Looks at a condition until it holds; what it yields. */
async function until(what, look) {
  const end = Date.now() + DEADLINE_MS;
  for (;;) {
    const found = await look();
    if (found) return found;
    if (Date.now() > end) throw new Error(`waited ${DEADLINE_MS} ms in vain for ${what}`);
    await sleep(POLL_MS);
  }
}

/** Runs an application: its numbers become the summary line, anything thrown ends the process with 1. */
function application(name, body) {
  const fail = (error) => {
    console.error(`failed ${name}:`, error);
    process.exit(1);
  };
  process.on("unhandledRejection", fail);
  process.on("uncaughtException", fail);
  const begun = Date.now();
  body(options()).then((numbers) => {
    const seconds = ((Date.now() - begun) / 1000).toFixed(1);
    const text = Object.entries(numbers).map(([what, count]) => `${count} ${what}`).join(", ");
    console.log(`ok ${name}: ${text}, ${seconds} s`);
    process.exit(0);
  }, fail);
}

module.exports = { application, sleep, until };
