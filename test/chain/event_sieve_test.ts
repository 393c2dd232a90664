import assert from "node:assert/strict";
import { EventSieve } from "../../lib/chain/event_sieve.ts";
import { Filter } from "../../lib/chain/filter.ts";
import { event } from "./records.ts";

const ENCODER = new TextEncoder();

/** Whether the first line of a text is stepped over, where users but root are left out. */
function isSkipped(line: string, { uid = [0], after = "\n" } = {}): boolean {
  const sieve = new EventSieve(new Filter({ process_filter: { uid } }).byProcess);
  const bytes = ENCODER.encode(`${line}${after}`);
  const next = sieve.skip(bytes, 0);
  assert.ok(next === -1 || next === bytes.length, `${next}`);
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
    assert.ok(isSkipped(line, { after: "" }));
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
    const bytes = ENCODER.encode(PUBLISHED.replace('"uid":1000', `"uid":${uid % 10_000}`));
    assert.equal(sieve.skip(bytes, 0) >= 0, uid % 10_000 !== 7, `${uid}`);
  }
});

Deno.test("EventSieve judges by values of any length", () => {
  for (const length of [10, 1000, 1023, 1024, 5000]) {
    const path = `/${"a".repeat(length)}`;
    const line = PUBLISHED.replace("/tmp/agent", path);
    for (const [config, expected] of [[path, false], [`${path}a`, true]] as const) {
      const filter = new Filter({ process_filter: { binary: { path: [config] } } });
      const sieve = new EventSieve(filter.byProcess);
      for (let i = 0; i < 2; i++) assert.equal(sieve.skip(ENCODER.encode(line), 0) >= 0, expected);
    }
  }
});

Deno.test("EventSieve tells values apart that have the same hash", () => {
  const { byProcess } = new Filter({ process_filter: { binary: { name: ["AaBB"] } } });
  const sieve = new EventSieve(byProcess);
  for (const name of ["AaBB", "BBAa", "AaAa", "BBBB", "AaBB"]) {
    const line = PUBLISHED.replace('"filename":"agent"', `"filename":"${name}"`);
    assert.equal(sieve.skip(ENCODER.encode(line), 0) >= 0, name !== "AaBB", name);
  }
});
