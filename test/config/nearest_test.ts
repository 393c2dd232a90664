import assert from "node:assert/strict";
import { nearest } from "../../lib/config/nearest.ts";

Deno.test("nearest() finds what was meant", () => {
  const known = ["format", "output", "config", "color"];
  assert.equal(nearest("fromat", known), "format");
  assert.equal(nearest("forma", known), "format");
  assert.equal(nearest("outputs", known), "output");
  assert.equal(nearest("colour", known), "color");
});

Deno.test("nearest() does not guess wildly", () => {
  assert.equal(nearest("zebra", ["format", "output"]), undefined);
  assert.equal(nearest("x".repeat(100_000), ["format"]), undefined);
  assert.equal(nearest("a", []), undefined);
});
