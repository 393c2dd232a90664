import assert from "node:assert/strict";
import { constants } from "node:os";
import { errnoName, resultOf } from "../../lib/uapi/errno.ts";

Deno.test("errnoName() agrees with this system", () => {
  const aliases = new Set(["EWOULDBLOCK", "ENOTSUP"]);
  for (const [name, number] of Object.entries(constants.errno)) {
    if (!aliases.has(name)) assert.equal(errnoName(number), name);
  }
});

Deno.test("errnoName() knows the kernel's own and the gaps", () => {
  const cases: [number, string | undefined][] = [
    [0, undefined],
    [1, "EPERM"],
    [13, "EACCES"],
    [41, undefined],
    [58, undefined],
    [125, "ECANCELED"],
    [133, "EHWPOISON"],
    [134, undefined],
    [512, "ERESTARTSYS"],
    [520, undefined],
    [529, "EIOCBQUEUED"],
    [4095, undefined],
  ];
  for (const [number, name] of cases) assert.equal(errnoName(number), name);
});

Deno.test("resultOf() names an error and only an error", () => {
  assert.deepEqual(resultOf(-13), { res: -13, errno: "EACCES" });
  assert.deepEqual(resultOf(13), { res: 13 });
  assert.deepEqual(resultOf(0), { res: 0 });
  assert.deepEqual(resultOf(-2147483648), { res: -2147483648 });
});
