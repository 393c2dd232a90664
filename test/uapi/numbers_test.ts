import assert from "node:assert/strict";
import { hexText, sizeValue } from "../../lib/uapi/numbers.ts";

Deno.test("hexText() is lower case, unpadded and unsigned", () => {
  assert.equal(hexText(0n), "0x0");
  assert.equal(hexText(0xffff888100c4a000n), "0xffff888100c4a000");
  assert.equal(hexText(-1n), "0xffffffffffffffff");
});

Deno.test("sizeValue() is a number for as long as a number is exact", () => {
  assert.equal(sizeValue(4096n), 4096);
  assert.equal(sizeValue(9007199254740991n), 9007199254740991);
  assert.equal(sizeValue(9007199254740992n), "0x20000000000000");
  assert.equal(sizeValue(-1n), "0xffffffffffffffff");
});
