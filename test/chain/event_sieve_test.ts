import assert from "node:assert/strict";
import { EventSieve } from "../../lib/chain/event_sieve.ts";
import { type Block, wordsOf } from "../../lib/chain/json_bytes.ts";
import { Filter } from "../../lib/chain/filter.ts";
import { event } from "./records.ts";

const ENCODER = new TextEncoder();

function blockOf(text: string): Block {
  const bytes = ENCODER.encode(text);
  return { bytes, words: wordsOf(bytes) };
}

/** Whether the first line of a text is stepped over, where users but root are left out. */
function isSkipped(line: string, { uid = [0] } = {}): boolean {
  const sieve = new EventSieve(new Filter({ process_filter: { uid } }).byProcess);
  const block = blockOf(`${line}\n`);
  const next = sieve.skip(block, 0);
  assert.ok(next === -1 || next === block.bytes.length, `${next}`);
  return next >= 0;
}

const PUBLISHED = JSON.stringify(event());
const OURS = JSON.stringify({
  ...event({
    op_info: { path: "/a\u001b b\\c", target: { kind: "file", path: "/a" } },
    seccomp: { mode: 2, filters: 1 },
    unverified: ["op_info.path"],
  }),
  io_uring: {
    opcode_number: 0,
    ctx: "0x1",
    user_data: "0x0",
    fd: -1,
    sqe_flags: [],
    cpu: 0,
    seq: 1,
  },
  result: { res: -13, errno: "EACCES", latency_ns: 1200 },
  classification: { suspicious: true, severity: "high", rules: [{ id: "a", attack: ["T1"] }] },
});

Deno.test("EventSieve steps over events that are left out, as this program and others write them", () => {
  for (const line of [PUBLISHED, OURS]) {
    assert.ok(isSkipped(line));
    assert.ok(isSkipped(`${line}\r`));
    assert.ok(isSkipped(line.replaceAll(/(?<=["\d\]}])([,:])(?=["\d[{])/g, "$1 ")));
  }
  const { type, process, ...rest } = event();
  assert.ok(isSkipped(JSON.stringify({ ...rest, process, type })));
});

Deno.test("EventSieve leaves events that pass, and what it does not know, to be read", () => {
  assert.ok(!isSkipped(PUBLISHED, { uid: [1000] }));
  assert.ok(!isSkipped(PUBLISHED, { uid: [] }));
  for (
    const line of [
      "",
      "{}",
      PUBLISHED.slice(0, -1),
      `${PUBLISHED}}`,
      ` ${PUBLISHED}`,
      PUBLISHED.replace("IOUringEvent", "IOUringResult"),
      PUBLISHED.replace('"uid":1000,', ""),
      PUBLISHED.replace('"uid":1000,', '"uid":1000,"uid":1000,'),
      PUBLISHED.replace('"opcode"', '"missing":[],"opcode"'),
      PUBLISHED.replace('"opcode"', '"process":{"uid":0},"opcode"'),
      PUBLISHED.replace('"opcode"', '"ty\\u0070e":"IOUringEntry","opcode"'),
      PUBLISHED.replace("/tmp/agent", "/tmp/ägent"),
    ]
  ) assert.ok(!isSkipped(line), line);
});

Deno.test("EventSieve judges each process by itself, however many there are", () => {
  const { byProcess } = new Filter({ process_filter: { uid: [7] } });
  const sieve = new EventSieve(byProcess);
  for (let uid = 0; uid < 20_000; uid++) {
    const block = blockOf(PUBLISHED.replace('"uid":1000', `"uid":${uid % 10_000}`) + "\n");
    assert.equal(sieve.skip(block, 0) >= 0, uid % 10_000 !== 7, `${uid}`);
  }
});

Deno.test("EventSieve judges by values of any length", () => {
  for (const length of [10, 1000, 1023, 1024, 5000]) {
    const path = `/${"a".repeat(length)}`;
    const line = PUBLISHED.replace("/tmp/agent", path);
    for (const [config, expected] of [[path, false], [`${path}a`, true]] as const) {
      const filter = new Filter({ process_filter: { binary: { path: [config] } } });
      const sieve = new EventSieve(filter.byProcess);
      for (let i = 0; i < 2; i++) assert.equal(sieve.skip(blockOf(`${line}\n`), 0) >= 0, expected);
    }
  }
});

Deno.test("EventSieve tells values apart that have the same hash", () => {
  const { byProcess } = new Filter({ process_filter: { binary: { name: ["AaBB"] } } });
  const sieve = new EventSieve(byProcess);
  for (const name of ["AaBB", "BBAa", "AaAa", "BBBB", "AaBB"]) {
    const line = PUBLISHED.replace('"filename":"agent"', `"filename":"${name}"`);
    assert.equal(sieve.skip(blockOf(`${line}\n`), 0) >= 0, name !== "AaBB", name);
  }
});

Deno.test("EventSieve knows a process that came before, and what to cut out to be without it", () => {
  const sieve = new EventSieve(new Filter({ process_filter: { uid: [1000] } }).byProcess);
  const { type, process, ...rest } = event();
  for (
    const line of [
      PUBLISHED,
      PUBLISHED.replaceAll(/(?<=["\d}])([,:])(?=["\d{])/g, "$1 "),
      JSON.stringify({ ...rest, process, type }),
      JSON.stringify({ process, type, ...rest }),
      JSON.stringify({ type, ...rest, process }),
      JSON.stringify({ type: "IOUringResult", process }),
    ]
  ) {
    assert.equal(sieve.skip(blockOf(`${line}\n`), 0), -1);
    assert.equal(sieve.skip(blockOf(`${line}\n`), 0), -1);
    const { process: known, start, end } = sieve.member!;
    assert.deepEqual(known.value, process);
    assert.ok(Object.isFrozen(known.value));
    const { process: _, ...others } = JSON.parse(line);
    assert.deepEqual(JSON.parse(line.slice(0, start) + line.slice(end)), others);
  }
});

Deno.test("EventSieve forgets processes when there are too many", () => {
  const sieve = new EventSieve(new Filter({ process_filter: { uid: [1000] } }).byProcess);
  const args = "x".repeat(3000);
  for (let pid = 1; pid < 3000; pid++) {
    const process = { ...event().process, pid, args };
    const block = blockOf(`${JSON.stringify({ ...event(), process })}\n`);
    for (let time = 0; time < 3; time++) assert.equal(sieve.skip(block, 0), -1);
    assert.deepEqual(sieve.member?.process.value, process);
  }
});
