import assert from "node:assert/strict";
import { classifyIoUring } from "../../lib/uapi/seccomp_bypass.ts";

Deno.test("classifyIoUring() keeps every case of memf", () => {
  const cases: [opcodes: number[], mode: number, want: boolean][] = [
    [[9], 1, true],
    [[10], 1, true],
    [[16], 1, true],
    [[9], 2, true],
    [[10], 2, true],
    [[16], 2, true],
    [[22, 9], 2, true],
    [[9], 0, false],
    [[10], 0, false],
    [[16], 0, false],
    [[22, 23], 2, false],
    [[18], 2, false],
    [[], 2, false],
    [[9, 16], 2, true],
  ];
  for (const [opcodes, mode, want] of cases) {
    assert.equal(classifyIoUring(opcodes, mode), want, `${opcodes} mode ${mode}`);
  }
});

Deno.test("classifyIoUring() fires for the network operations and no other", () => {
  const network = [9, 10, 13, 16, 26, 27, 45, 47, 48, 56, 57, 58];
  for (let opcode = 0; opcode < 256; opcode++) {
    assert.equal(classifyIoUring([opcode], 2), network.includes(opcode), String(opcode));
    assert.equal(classifyIoUring([opcode], 0), false);
  }
});
