import assert from "node:assert/strict";
import type { ArgumentReader } from "../../lib/uapi/argument.ts";
import { withDirectories } from "../../lib/uapi/directories.ts";
import { describeRequest } from "../../lib/uapi/op_info.ts";
import { OP_INFO_KEYS, opInfoKeys } from "../../lib/uapi/op_info_keys.ts";
import { OPCODES } from "../../lib/uapi/opcodes.ts";
import { Random } from "../scan/mutations.ts";

const NOT_UTF8 = Uint8Array.of(0x61, 0xff);
const BITS = [0, 0xffffffff, ...Array.from({ length: 32 }, (_, bit) => (1 << bit) >>> 0)];

Deno.test("opInfoKeys() has the keys that describeRequest() puts, and no others", () => {
  const random = new Random(5);
  const one = <T>(values: readonly T[]): T => random.one(values);
  const memory: ArgumentReader = {
    path: () => ({ ok: true, bytes: NOT_UTF8 }),
    bytes: (_, length) => ({ ok: true, bytes: someBytes(length, one([1, 2, 10])) }),
  };
  const all = new Set<string>();
  for (let opcode = 0; opcode <= OPCODES.length; opcode++) {
    const found = new Set<string>();
    for (let round = 0; round < 400; round++) {
      const fields = {
        opcode,
        flags: one(BITS) & 0xff,
        fd: one([3, -100]),
        ioprio: one(BITS) & 0xffff,
        off: BigInt(one([...BITS, 3, 28])),
        addr: BigInt(one([...BITS, 4096])),
        len: one([...BITS, 6]),
        opFlags: one(BITS),
        bufIndex: 1,
        personality: 0,
        fileIndex: one([0, 1, 28, 0xffffffff]),
        addr3: 1n,
        socket: one([true, false]),
      };
      const options = { completed: one([true, false]) };
      const { info = {} } = describeRequest(fields, memory, options);
      const open = { path: "a\ufffd", path_hex: "61ff" };
      for (const key in withDirectories(info, () => open).info) found.add(key);
    }
    assert.deepEqual([...found].sort(), [...opInfoKeys(opcode)].sort(), String(opcode));
    for (const key of found) all.add(key);
  }
  assert.deepEqual(OP_INFO_KEYS, [...all].sort());
});

/** What may be a socket address, a message that names one, or a number. */
function someBytes(length: number, family: number): Uint8Array {
  const bytes = new Uint8Array(length);
  const view = new DataView(bytes.buffer);
  if (length === 4) view.setInt32(0, 28, true);
  else if (length === 56) [1, 28, 1, 1].forEach((value, i) => view.setUint8(i * 8, value));
  else if (length === 24) bytes.fill(0xff);
  else if (length > 26) bytes.set([family, 0, 0x61, 0xff], 0), bytes[24] = 3;
  else if (length > 2) bytes.set([family, 0, 0x61].slice(0, length));
  return bytes;
}
