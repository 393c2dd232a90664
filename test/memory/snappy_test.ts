import assert from "node:assert/strict";
import snappyjs from "snappyjs";
import { decodeSnappy, snappyLength } from "../../lib/memory/snappy.ts";
import { Random } from "../scan/mutations.ts";

function anyBytes(random: Random, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let at = 0; at < length;) {
    const run = 1 + random.below(300);
    const value = random.below(256);
    const step = random.below(3);
    for (let i = 0; i < run && at < length; i++, at++) {
      bytes[at] = step === 2 ? random.below(256) : value + step * i;
    }
  }
  return bytes;
}

Deno.test("decodeSnappy() decodes what snappyjs wrote", () => {
  const random = new Random(1);
  for (const length of [0, 1, 59, 60, 61, 255, 256, 257, 4096, 65535, 65536, 70_000]) {
    const plain = anyBytes(random, length);
    const packed = snappyjs.compress(plain);
    assert.equal(snappyLength(packed), length);
    assert.deepEqual(decodeSnappy(packed, length), plain);
    for (let i = 0; i < 50; i++) {
      assert.equal(
        decodeSnappy(packed.subarray(0, random.below(packed.length)), length),
        undefined,
      );
    }
  }
});

Deno.test("decodeSnappy() knows copies of every kind", () => {
  const cases: [number[], number[]][] = [
    [[4, 0x00, 7, 0x02 | 2 << 2, 1, 0], [7, 7, 7, 7]],
    [[6, 0x04, 7, 8, 0x01, 2], [7, 8, 7, 8, 7, 8]],
    [[5, 0x04, 7, 8, 0x03 | 2 << 2, 2, 0, 0, 0], [7, 8, 7, 8, 7]],
    [[1, 0xf0, 0, 9], [9]],
    [[1, 0xf4, 0, 0, 9], [9]],
    [[1, 0xf8, 0, 0, 0, 9], [9]],
    [[1, 0xfc, 0, 0, 0, 0, 9], [9]],
  ];
  for (const [packed, plain] of cases) {
    assert.deepEqual(decodeSnappy(new Uint8Array(packed), plain.length), new Uint8Array(plain));
  }
});

Deno.test("decodeSnappy() refuses hostile blocks", () => {
  const cases: Record<string, number[]> = {
    "nothing": [],
    "a length that never ends": [0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
    "a length of 36 bits": [0xff, 0xff, 0xff, 0xff, 0x7f],
    "another length": [5, 0x0c, 1, 2, 3, 4],
    "too few bytes": [4, 0x04, 1, 2],
    "too many bytes": [4, 0x10, 1, 2, 3, 4, 5],
    "a literal past the end": [4, 0x0c, 1, 2],
    "a literal of -6 bytes": [4, 0xfc, 0xf9, 0xff, 0xff, 0xff, 1, 2],
    "a literal without its length": [4, 0xfc, 1],
    "a copy of distance 0": [4, 0x00, 7, 0x02 | 2 << 2, 0, 0],
    "a copy from before the start": [4, 0x00, 7, 0x02 | 2 << 2, 2, 0],
    "a copy past the end": [4, 0x00, 7, 0x02 | 3 << 2, 1, 0],
    "a copy without its distance": [4, 0x00, 7, 0x01],
    "a copy with half its distance": [4, 0x00, 7, 0x02, 1],
    "a copy with most of its distance": [4, 0x00, 7, 0x03, 1, 0, 0],
    "a copy from 4 GiB back": [4, 0x00, 7, 0x03 | 2 << 2, 0xff, 0xff, 0xff, 0xff],
  };
  for (const [what, bytes] of Object.entries(cases)) {
    assert.equal(decodeSnappy(new Uint8Array(bytes), 4), undefined, what);
  }
});

Deno.test("decodeSnappy() outlives random damage", () => {
  const random = new Random(2);
  const packed = snappyjs.compress(anyBytes(random, 4096));
  for (let round = 0; round < 10_000; round++) {
    const bytes = packed.slice();
    for (let n = random.below(4); n >= 0; n--) {
      bytes[random.below(bytes.length)] = random.below(256);
    }
    const decoded = decodeSnappy(bytes, 4096);
    assert.ok(decoded === undefined || decoded.length === 4096);
  }
});
