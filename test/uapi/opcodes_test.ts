import assert from "node:assert/strict";
import {
  OPCODE_CATEGORIES,
  opcodeName,
  opcodeNumber,
  OPCODES,
  opcodesOfCategory,
} from "../../lib/uapi/opcodes.ts";

Deno.test("opcodeName() names every opcode of the enum", () => {
  const anchors: [number, string][] = [
    [0, "IORING_OP_NOP"],
    [9, "IORING_OP_SENDMSG"],
    [16, "IORING_OP_CONNECT"],
    [18, "IORING_OP_OPENAT"],
    [28, "IORING_OP_OPENAT2"],
    [36, "IORING_OP_UNLINKAT"],
    [40, "IORING_OP_MSG_RING"],
    [46, "IORING_OP_URING_CMD"],
    [49, "IORING_OP_READ_MULTISHOT"],
    [58, "IORING_OP_RECV_ZC"],
    [62, "IORING_OP_PIPE"],
    [64, "IORING_OP_URING_CMD128"],
  ];
  for (const [number, name] of anchors) assert.equal(opcodeName(number), name);
  assert.equal(OPCODES.length, 65);
  assert.equal(new Set(OPCODES.map((opcode) => opcode.name)).size, 65);
  OPCODES.forEach((opcode, index) => assert.equal(opcode.number, index));
});

Deno.test("opcodeName() says UNKNOWN for a number without a name", () => {
  for (const number of [65, 200, 255]) assert.equal(opcodeName(number), "UNKNOWN");
});

Deno.test("opcodeNumber() is the inverse of opcodeName()", () => {
  for (const { number, name } of OPCODES) assert.equal(opcodeNumber(name), number);
  assert.equal(opcodeNumber("IORING_OP_EXEC"), undefined);
  assert.equal(opcodeNumber("UNKNOWN"), undefined);
});

Deno.test("opcodesOfCategory() gives each opcode to one category", () => {
  const all = OPCODE_CATEGORIES.flatMap((category) => opcodesOfCategory(category));
  assert.deepEqual(all.sort((a, b) => a - b), OPCODES.map((opcode) => opcode.number));
  assert.deepEqual(opcodesOfCategory("timer"), [11, 12, 15]);
  assert.deepEqual(opcodesOfCategory("nonsense"), []);
});

Deno.test("opcodesOfCategory() of network is the set that goes round seccomp, and SHUTDOWN", () => {
  assert.deepEqual(opcodesOfCategory("network"), [
    9,
    10,
    13,
    16,
    26,
    27,
    34,
    45,
    47,
    48,
    56,
    57,
    58,
  ]);
});
