import assert from "node:assert/strict";
import { possibleActions, verdictOf } from "../../lib/uapi/seccomp_filter.ts";

const ALLOW = 0x7fff0000;
const ERRNO = 0x00050000;
const KILL_PROCESS = 0x80000000 | 0;

type Instruction = readonly [operation: number, k: number, jt?: number, jf?: number];

function code(...instructions: Instruction[]): Uint8Array {
  const bytes = new Uint8Array(instructions.length * 8);
  const view = new DataView(bytes.buffer);
  instructions.forEach(([operation, k, jt = 0, jf = 0], i) => {
    view.setUint16(i * 8, operation, true);
    view.setUint8(i * 8 + 2, jt);
    view.setUint8(i * 8 + 3, jf);
    view.setUint32(i * 8 + 4, k, true);
  });
  return bytes;
}

function actions(program: Uint8Array, syscall = 42): number[] | undefined {
  const found = possibleActions(program, syscall);
  return found && [...found].sort((a, b) => a - b);
}

const LOAD = 0x20;
const JEQ = 0x15;
const RET = 0x06;
const NR: Instruction = [LOAD, 0];

Deno.test("possibleActions() runs a filter for one system call", () => {
  const program = code(NR, [JEQ, 42, 0, 1], [RET, ERRNO | 1], [RET, ALLOW]);
  assert.deepEqual(actions(program, 42), [ERRNO]);
  assert.deepEqual(actions(program, 41), [ALLOW]);
});

Deno.test("possibleActions() follows both ways where arguments decide", () => {
  const low = 16;
  const program = code([LOAD, low], [JEQ, 1, 0, 1], [RET, ALLOW], [RET, KILL_PROCESS]);
  assert.deepEqual(actions(program), [KILL_PROCESS, ALLOW]);
  // The same either way: it is decided.
  assert.deepEqual(actions(code([LOAD, low], [JEQ, 1, 0, 0], [RET, ALLOW])), [ALLOW]);
  // What is masked away does not count.
  assert.deepEqual(
    actions(code([LOAD, low], [0x54, 0], [JEQ, 0, 0, 1], [RET, ALLOW], [RET, ERRNO])),
    [ALLOW],
  );
});

Deno.test("possibleActions() knows the architecture, and computes as the kernel does", () => {
  const isX86: Instruction[] = [[LOAD, 4], [JEQ, 0xc000003e, 1, 0], [RET, KILL_PROCESS]];
  assert.deepEqual(actions(code(...isX86, [RET, ALLOW])), [ALLOW]);
  const computes = (steps: Instruction[], expected: number) =>
    actions(code(NR, ...steps, [JEQ, expected >>> 0, 0, 1], [RET, ALLOW], [RET, ERRNO]));
  const cases: [Instruction[], number][] = [
    [[[0x04, 1]], 43],
    [[[0x14, 43]], -1],
    [[[0x24, 3]], 126],
    [[[0x34, 5]], 8],
    [[[0x44, 1]], 43],
    [[[0x54, 0xff]], 42],
    [[[0x64, 31]], 0],
    [[[0x74, 1]], 21],
    [[[0x84, 0]], -42],
    [[[0x94, 5]], 2],
    [[[0xa4, 0xff]], 213],
    [[[0x02, 3], [0x00, 7], [0x07, 0], [0x60, 3], [0x0c, 0]], 49],
    [[[0x07, 0], [0x87, 0], [0x1c, 0]], 0],
    [[[0x80, 0]], 64],
  ];
  for (const [steps, expected] of cases) {
    assert.deepEqual(computes(steps, expected), [ALLOW], JSON.stringify(steps));
  }
  assert.deepEqual(actions(code(NR, [0x01, 0], [0x3c, 0], [RET, ALLOW])), [0]);
});

Deno.test("possibleActions() takes no program that the kernel would refuse, and ends", () => {
  assert.equal(actions(new Uint8Array()), undefined);
  assert.equal(actions(new Uint8Array(12)), undefined);
  assert.equal(actions(code(NR)), undefined);
  assert.equal(actions(code([JEQ, 0, 200, 200])), undefined);
  assert.equal(actions(code([0x05, 0xffffffff])), undefined);
  assert.equal(actions(code([LOAD, 64], [RET, ALLOW])), undefined);
  assert.equal(actions(code([0xff, 0], [RET, ALLOW])), undefined);
  assert.equal(actions(new Uint8Array(8 * 4097)), undefined);
  // 2^200 ways, which meet again after each step.
  const forks = Array.from({ length: 200 }, (): Instruction[] => [[LOAD, 16], [JEQ, 1, 1, 0], [
    0x00,
    0,
  ]]).flat();
  assert.deepEqual(actions(code(...forks, [RET, ALLOW])), [ALLOW]);
  for (let seed = 1; seed < 2000; seed++) {
    const bytes = new Uint8Array(8 * 16);
    let x = seed;
    for (let i = 0; i < bytes.length; i++) {
      x = Math.imul(x, 1103515245) + 12345 | 0;
      bytes[i] = x >>> 16 & 0xff;
    }
    possibleActions(bytes, seed);
  }
});

Deno.test("verdictOf() lets the strictest filter of a chain decide", () => {
  const allow = new Set([ALLOW]);
  const deny = new Set([ERRNO]);
  const either = new Set([ERRNO, ALLOW]);
  assert.equal(verdictOf([allow, allow]), "allow");
  assert.equal(verdictOf([allow, deny]), "deny");
  assert.equal(verdictOf([either, allow]), "depends");
  assert.equal(verdictOf([either, deny]), "deny");
  assert.equal(verdictOf([undefined, deny]), "deny");
  assert.equal(verdictOf([undefined, allow]), undefined);
});
