import assert from "node:assert/strict";
import { cutToWidth, displayWidth } from "../../lib/record/display_width.ts";

Deno.test("displayWidth() counts columns", () => {
  assert.equal(displayWidth(""), 0);
  assert.equal(displayWidth("abc"), 3);
  assert.equal(displayWidth("größe"), 5);
  assert.equal(displayWidth("漢字"), 4);
  assert.equal(displayWidth("🦀"), 2);
  assert.equal(displayWidth("e\u0301"), 1);
  assert.equal(displayWidth("ｆ"), 2);
  assert.equal(displayWidth("…"), 1);
});

Deno.test("cutToWidth() cuts to the columns and marks the cut", () => {
  assert.equal(cutToWidth("abcdef", 6), "abcdef");
  assert.equal(cutToWidth("abcdef", 5), "abcd…");
  assert.equal(cutToWidth("漢字漢", 4), "漢…");
  assert.equal(cutToWidth("漢字", 1), "…");
});
