import assert from "node:assert/strict";
import { type Piece, searchPieces } from "../../lib/memory/search_pieces.ts";
import { Random } from "../scan/mutations.ts";

Deno.test("searchPieces() finds matches across pieces, but not across gaps", () => {
  const random = new Random(9);
  for (let round = 0; round < 200; round++) {
    const pieces: Piece[] = [];
    let at = random.below(100);
    for (let n = random.below(12); n >= 0; n--) {
      if (random.below(3) === 0) at += 1 + random.below(50);
      const bytes = Uint8Array.from({ length: random.below(60) }, () => random.below(3));
      pieces.push({ start: at, bytes });
      at += bytes.length;
    }
    const all = new Uint8Array(at).fill(0xee);
    for (const { start, bytes } of pieces) all.set(bytes, start);
    const pattern = Uint8Array.from({ length: 1 + random.below(4) }, () => random.below(3));
    const start = random.below(at + 5);
    const end = start + random.below(at);
    const align = random.one([1, 2, 7, 100]);
    const expected: number[] = [];
    for (let hit = start; hit <= Math.min(end, at) - pattern.length; hit += align) {
      if (pattern.every((byte, i) => all[hit + i] === byte)) expected.push(hit);
    }
    const found = searchPieces(pieces, pattern, { start, end, align });
    assert.deepEqual(found, expected.slice(0, 64));
  }
});

Deno.test("searchPieces() finds matches across its windows, and stops at the limit", () => {
  const MIB = 2 ** 20;
  const bytes = new Uint8Array(3 * MIB);
  const pattern = new TextEncoder().encode("needle");
  const places = [0, MIB - 6, MIB - 3, 2 * MIB - 8, 2 * MIB, 3 * MIB - 6];
  for (const place of places.filter((place) => place !== MIB - 3)) bytes.set(pattern, place);
  const expected = places.filter((place) => place !== MIB - 3);
  assert.deepEqual(
    searchPieces([{ start: 5, bytes }], pattern),
    expected.map((place) => place + 5),
  );
  assert.deepEqual(
    searchPieces([{ start: 0, bytes }], pattern, { limit: 2 }),
    expected.slice(0, 2),
  );
  assert.deepEqual(searchPieces([{ start: 0, bytes }], pattern, { limit: 0 }), []);
  const pieces = Array.from({ length: 3 * MIB / 5 | 0 }, (_, i) => ({
    start: 5 * i,
    bytes: bytes.subarray(5 * i, 5 * i + 5),
  }));
  assert.deepEqual(searchPieces(pieces, pattern), expected.slice(0, -1));
});
