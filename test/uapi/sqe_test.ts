import assert from "node:assert/strict";
import { readSqe } from "../../lib/uapi/sqe.ts";
import { bytesOf, pseudoRandom, randomBytes } from "./layout.ts";

const SQE = bytesOf(
  [22, 0x21, 0x34, 0x12], // opcode, flags, ioprio
  [0xfe, 0xff, 0xff, 0xff], // fd
  [1, 2, 3, 4, 5, 6, 7, 0x88], // off
  [0, 0xa0, 0xc4, 0, 0x81, 0x88, 0xff, 0xff], // addr
  [0xff, 0xff, 0xff, 0xff], // len
  [0, 0, 0, 0x80], // op_flags
  [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], // user_data
  [5, 0], // buf_index
  [7, 0], // personality
  [0xff, 0xff, 0xff, 0xff], // file_index
  [9, 0, 0, 0, 0, 0, 0, 0], // addr3
  [0, 0, 0, 0, 0, 0, 0, 0],
);

Deno.test("readSqe() decodes every slot without losing a bit", () => {
  assert.deepEqual(readSqe(SQE, 0), {
    opcode: 22,
    flags: 0x21,
    ioprio: 0x1234,
    fd: -2,
    off: 0x8807060504030201n,
    addr: 0xffff888100c4a000n,
    len: 0xffffffff,
    opFlags: 0x80000000,
    userData: 0xffffffffffffffffn,
    bufIndex: 5,
    personality: 7,
    fileIndex: 0xffffffff,
    addr3: 9n,
  });
});

Deno.test("readSqe() reads at an offset, inside a view", () => {
  const memory = new Uint8Array(200);
  memory.set(SQE, 101);
  assert.deepEqual(readSqe(memory.subarray(1), 100), readSqe(SQE, 0));
});

Deno.test("readSqe() gives the 80 command bytes of a wide one", () => {
  const wide = new Uint8Array(128).map((_, index) => index);
  const { cmd } = readSqe(wide, 0, { wide: true });
  assert.deepEqual(cmd, wide.subarray(48));
  assert.equal(cmd?.length, 80);
});

Deno.test("readSqe() refuses what does not fit", () => {
  for (const offset of [-1, 1, 64]) assert.throws(() => readSqe(SQE, offset), RangeError);
  assert.throws(() => readSqe(SQE, 0, { wide: true }), RangeError);
});

Deno.test("readSqe() takes any bytes", () => {
  const next = pseudoRandom(1);
  for (let round = 0; round < 500; round++) {
    assert.equal(typeof readSqe(randomBytes(next, 64), 0).off, "bigint");
  }
});
