import assert from "node:assert/strict";
import type { JsonObject } from "../../lib/uapi/json_value.ts";
import { bytesToHex, decodeText, putText, putUnixName, untilNul } from "../../lib/uapi/text.ts";
import { bytesOf, pseudoRandom, randomBytes } from "./layout.ts";

Deno.test("putText() adds the exact bytes where the text is not a faithful copy", () => {
  const cases: [string, Uint8Array, JsonObject][] = [
    ["empty", bytesOf(), { k: "" }],
    ["ASCII", bytesOf("/etc/shadow"), { k: "/etc/shadow" }],
    ["long ASCII", bytesOf("a".repeat(4095)), { k: "a".repeat(4095) }],
    ["UTF-8", bytesOf("/tmp/ä€😀"), { k: "/tmp/ä€😀" }],
    ["controls and NUL", bytesOf("a\x1b[31m", 0, "\n"), { k: "a\x1b[31m\0\n" }],
    ["byte order mark", bytesOf(0xef, 0xbb, 0xbf, "x"), { k: "\uFEFFx" }],
    ["a real U+FFFD", bytesOf("x\uFFFD"), { k: "x\uFFFD" }],
    ["stray byte", bytesOf("a", 0xff, "b"), { k: "a\uFFFDb", k_hex: "61ff62" }],
    ["cut sequence", bytesOf("a", 0xe2, 0x82), { k: "a\uFFFD", k_hex: "61e282" }],
    ["overlong slash", bytesOf(0xc0, 0xaf), { k: "\uFFFD\uFFFD", k_hex: "c0af" }],
    ["surrogate", bytesOf(0xed, 0xa0, 0x80), { k: "\uFFFD\uFFFD\uFFFD", k_hex: "eda080" }],
    ["real and put in", bytesOf("\uFFFD", 0xff), { k: "\uFFFD\uFFFD", k_hex: "efbfbdff" }],
  ];
  for (const [name, bytes, want] of cases) {
    const target: JsonObject = {};
    putText(target, "k", bytes);
    assert.deepEqual(target, want, name);
  }
});

Deno.test("putText() puts the hex right behind the text", () => {
  const target: JsonObject = { before: 1 };
  putText(target, "comm", bytesOf(0x80));
  target.after = 2;
  assert.deepEqual(Object.keys(target), ["before", "comm", "comm_hex", "after"]);
});

Deno.test("decodeText() loses nothing, whatever the bytes", () => {
  const next = pseudoRandom(3);
  for (let round = 0; round < 2000; round++) {
    const bytes = randomBytes(next, next() % 100);
    const { text, hex } = decodeText(bytes);
    const kept = hex ?? bytesToHex(new TextEncoder().encode(text));
    assert.equal(kept, bytesToHex(bytes));
    assert.ok(text.isWellFormed());
  }
});

Deno.test("untilNul() cuts at the first NUL", () => {
  assert.deepEqual(untilNul(bytesOf("ab", 0, "c", 0)), bytesOf("ab"));
  assert.deepEqual(untilNul(bytesOf("ab")), bytesOf("ab"));
  assert.deepEqual(untilNul(bytesOf(0)), bytesOf());
});

Deno.test("putUnixName() shows an abstract name, and keeps its bytes as they are", () => {
  const named = (...bytes: number[]) => {
    const target = {};
    putUnixName(target, "path", Uint8Array.from(bytes));
    return target;
  };
  assert.deepEqual(named(0x2f, 0x61), { path: "/a" });
  assert.deepEqual(named(0, 0x61), { path: "@a" });
  assert.deepEqual(named(0, 0xff), { path: "@\uFFFD", path_hex: "00ff" });
});
