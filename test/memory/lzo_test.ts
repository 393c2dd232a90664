import assert from "node:assert/strict";
import { decodeLzo } from "../../lib/memory/lzo.ts";
import { Random } from "../scan/mutations.ts";

const text = (value: string) => new TextEncoder().encode(value);

/** What liblzo2 2.10 (lzo1x_1_compress) made of a sentence thrice, 700 zeros, and the bytes 0 to 63. */
const REAL = Uint8Array.fromBase64(
  "ABhJbiBhIG1lbW9yeSBpbWFnZSwgYSBwYWdlIG9mIHplcm9zIGlzIG5vdCDYAgF0aGF0aAIGbWlzc2luZy4gIGMFAQAg" +
    "AACdAAAALQECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4vMDEyMzQ1Njc4OTo7PD0+PxEA" +
    "AA==",
);
const PLAIN = new Uint8Array([
  ...text("In a memory image, a page of zeros is not a page that is missing. ".repeat(3)),
  ...new Uint8Array(700),
  ...Array(64).keys(),
]);
const END = [0x11, 0, 0];

Deno.test("decodeLzo() decodes what liblzo2 wrote", () => {
  assert.deepEqual(decodeLzo(REAL, PLAIN.length), PLAIN);
});

Deno.test("decodeLzo() knows every instruction", () => {
  const a = text("abcdefghij");
  const cases: [string, number[], string][] = [
    ["a first run of literals", [17 + 10, ...a], "abcdefghij"],
    ["a long run of literals", [0, 1, ...text("0123456789abcdefghi")], "0123456789abcdefghi"],
    ["2 bytes after literals", [17 + 3, ...text("abc"), 2 << 2, 0], "abcab"],
    ["3 to 4 bytes within 2 KiB", [17 + 4, ...text("abcd"), 0x40 | 3 << 2, 0], "abcdabc"],
    ["5 to 8 bytes within 2 KiB", [17 + 4, ...text("abcd"), 0xe0, 0], "abcddddddddd"],
    [
      "33 bytes within 16 KiB",
      [17 + 4, ...text("abcd"), 0x20 | 31, 3 << 2, 0],
      "abcd".repeat(9) + "a",
    ],
    ["a long match", [17 + 4, ...text("abcd"), 0x20, 0, 1, 0, 0], "abc" + "d".repeat(290)],
    [
      "literals after a match",
      [17 + 4, ...text("abcd"), 0x20 | 1, 3, 0, ...text("xyz")],
      "abcddddxyz",
    ],
  ];
  for (const [what, bytes, plain] of cases) {
    const decoded = decodeLzo(new Uint8Array([...bytes, ...END]), plain.length);
    assert.equal(decoded && new TextDecoder().decode(decoded), plain, what);
  }
});

Deno.test("decodeLzo() refuses what does not decode to just that length", () => {
  assert.equal(decodeLzo(REAL, PLAIN.length - 1), undefined);
  assert.equal(decodeLzo(REAL, PLAIN.length + 1), undefined);
  for (let length = 0; length < REAL.length; length++) {
    assert.equal(decodeLzo(REAL.subarray(0, length), PLAIN.length), undefined, `cut at ${length}`);
  }
  // A match before the beginning; a run of literals and a match whose lengths never end.
  assert.equal(decodeLzo(new Uint8Array([18, 65, 0x40, 9, ...END]), 4), undefined);
  assert.equal(decodeLzo(new Uint8Array(100_000), 4096), undefined);
  assert.equal(
    decodeLzo(new Uint8Array([18, 65, 0x20, ...new Uint8Array(100_000)]), 4096),
    undefined,
  );
});

Deno.test("decodeLzo() outlives random damage", () => {
  const random = new Random(1);
  for (let round = 0; round < 20_000; round++) {
    const bytes = REAL.slice();
    for (let n = random.below(4); n >= 0; n--) {
      bytes[random.below(bytes.length)] = random.below(256);
    }
    const decoded = decodeLzo(bytes, PLAIN.length);
    assert.ok(decoded === undefined || decoded.length === PLAIN.length);
  }
});
