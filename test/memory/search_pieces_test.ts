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
    const start = random.below(at + 5);
    const end = start + random.below(at);
    const patterns = Array.from({ length: 1 + random.below(3) }, () => {
      const align = random.one([1, 2, 7, 100]);
      const bytes = Uint8Array.from({ length: 1 + random.below(4) }, () => random.below(3));
      return { bytes, align, phase: random.below(align) };
    });
    const expected = patterns.map(({ bytes, align, phase }) => {
      const hits: number[] = [];
      for (let hit = start; hit <= Math.min(end, at) - bytes.length; hit++) {
        if (hit % align === phase && bytes.every((byte, i) => all[hit + i] === byte)) {
          hits.push(hit);
        }
      }
      return hits.slice(0, 64);
    });
    assert.deepEqual(searchPieces(pieces, patterns, { start, end }), expected);
  }
});

Deno.test("searchPieces() finds matches across its windows, and stops at the limit", () => {
  const MIB = 2 ** 20;
  const bytes = new Uint8Array(3 * MIB);
  const pattern = new TextEncoder().encode("needle");
  const search = (pieces: Piece[], options = {}) =>
    searchPieces(pieces, [{ bytes: pattern }], options)[0];
  const places = [0, MIB - 6, MIB - 3, 2 * MIB - 8, 2 * MIB, 3 * MIB - 6];
  for (const place of places.filter((place) => place !== MIB - 3)) bytes.set(pattern, place);
  const expected = places.filter((place) => place !== MIB - 3);
  assert.deepEqual(
    search([{ start: 5, bytes }]),
    expected.map((place) => place + 5),
  );
  assert.deepEqual(
    search([{ start: 0, bytes }], { limit: 2 }),
    expected.slice(0, 2),
  );
  assert.deepEqual(search([{ start: 0, bytes }], { limit: 0 }), []);
  const pieces = Array.from({ length: 3 * MIB / 5 | 0 }, (_, i) => ({
    start: 5 * i,
    bytes: bytes.subarray(5 * i, 5 * i + 5),
  }));
  assert.deepEqual(search(pieces), expected.slice(0, -1));
  // A short pattern beside a long one is found once, also where windows overlap.
  const both = [{ bytes: pattern }, { bytes: pattern.subarray(0, 2) }];
  const [long, short] = searchPieces([{ start: 0, bytes }], both);
  assert.deepEqual(long, expected);
  assert.deepEqual(short, expected);
});
