import assert from "node:assert/strict";
import { cutFront, cutToWidth, displayWidth, wrapToWidth } from "../../lib/record/display_width.ts";

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

Deno.test("cutFront() keeps the end", () => {
  assert.equal(cutFront("0xffff888100c4a000", 18), "0xffff888100c4a000");
  assert.equal(cutFront("0xffff888100c4a000", 9), "…00c4a000");
  assert.equal(cutFront("漢字漢", 4), "…漢");
});

Deno.test("wrapToWidth() breaks at spaces, and within words that are longer than a line", () => {
  assert.deepEqual(wrapToWidth("  denies a, b", 13), ["  denies a, b"]);
  assert.deepEqual(wrapToWidth("  denies a, b, c", 14), ["  denies a, b,", "      c"]);
  assert.deepEqual(wrapToWidth("  past  /a/long/way", 14), [
    "  past",
    "      /a/long/",
    "      way",
  ]);
  assert.deepEqual(wrapToWidth("漢字漢字", 4), ["漢字", "漢字"]);
  for (const columns of [3, 8, 20, 40]) {
    const text = `    READ          ENOENT      /${"path/".repeat(40)} and ${
      "words ".repeat(30)
    }end`;
    const lines = wrapToWidth(text, columns);
    assert.ok(lines.every((line) => displayWidth(line) <= columns), String(columns));
    assert.equal(lines.join("").replaceAll(" ", ""), text.replaceAll(" ", ""));
  }
});
