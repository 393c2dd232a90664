import assert from "node:assert/strict";
import { registerOpName } from "../../lib/uapi/register_ops.ts";
import { setupFlagNames, sqeFlagNames } from "../../lib/uapi/ring_flags.ts";

Deno.test("sqeFlagNames() names the bits in order", () => {
  assert.deepEqual(sqeFlagNames(0), []);
  assert.deepEqual(sqeFlagNames(0x05), ["IOSQE_FIXED_FILE", "IOSQE_IO_LINK"]);
  assert.equal(sqeFlagNames(0x7f).length, 7);
  assert.deepEqual(sqeFlagNames(0x80), ["0x80"]);
});

Deno.test("sqeFlagNames() ignores the bits that io_kiocb keeps above", () => {
  assert.deepEqual(sqeFlagNames(0x2010), ["IOSQE_ASYNC"]);
});

Deno.test("setupFlagNames() names bits 0 to 20 and shows the rest", () => {
  assert.equal(setupFlagNames(0x1fffff).length, 21);
  assert.deepEqual(setupFlagNames(0x2 | 0x4000 | 0x8000), [
    "IORING_SETUP_SQPOLL",
    "IORING_SETUP_NO_MMAP",
    "IORING_SETUP_REGISTERED_FD_ONLY",
  ]);
  assert.deepEqual(setupFlagNames(0x100000), ["IORING_SETUP_SQ_REWIND"]);
  assert.deepEqual(setupFlagNames(0x80200000 | 0), ["0x80200000"]);
});

Deno.test("registerOpName() names operations, with and without a registered ring", () => {
  const cases: [number, string][] = [
    [0, "IORING_REGISTER_BUFFERS"],
    [9, "IORING_REGISTER_PERSONALITY"],
    [24, "IORING_REGISTER_SYNC_CANCEL"],
    [35, "IORING_REGISTER_QUERY"],
    [37, "IORING_REGISTER_BPF_FILTER"],
    [0x80000004, "IORING_REGISTER_EVENTFD"],
    [38, "UNKNOWN"],
    [255, "UNKNOWN"],
  ];
  for (const [operation, name] of cases) assert.equal(registerOpName(operation), name);
});
