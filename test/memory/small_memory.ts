import assert from "node:assert/strict";
import type { AddressRange, PhysicalMemory } from "../../lib/memory/physical_memory.ts";
import { Random } from "../scan/mutations.ts";
import type { SourceMemory } from "./write_formats.ts";
import { searchOne } from "./search_one.ts";

const PAGE = 4096;

/** What a machine with a little memory of every kind holds: zeros, noise, text, repeated words. */
export class SmallMemory implements SourceMemory {
  readonly size: number;
  readonly ram: readonly AddressRange[];
  readonly vmcoreinfo = "OSRELEASE=1.2.3\nPAGESIZE=4096\n";
  readonly directMap = 0xffff888000000000n;
  readonly #bytes: Uint8Array;

  /** `ram` is in pages. */
  constructor(ram: readonly (readonly [start: number, end: number])[], seed = 1) {
    this.ram = ram.map(([start, end]) => ({ start: start * PAGE, end: end * PAGE }));
    this.size = this.ram.at(-1)!.end;
    this.#bytes = new Uint8Array(this.size);
    const random = new Random(seed);
    for (const { start, end } of this.ram) {
      for (let at = start; at < end; at += PAGE) fill(this.#bytes.subarray(at, at + PAGE), random);
    }
  }

  bytes(start: number, end: number): Uint8Array {
    return this.#bytes.subarray(start, end);
  }

  has(address: number): boolean {
    return this.ram.some(({ start, end }) => start <= address && address < end);
  }
}

function fill(page: Uint8Array, random: Random): void {
  switch (random.below(4)) {
    case 0:
      return;
    case 1:
      for (let i = 0; i < PAGE; i++) page[i] = random.below(256);
      return;
    case 2: {
      const word = Array.from({ length: 1 + random.below(40) }, () => random.below(256));
      for (let i = 0; i < PAGE; i++) page[i] = word[i % word.length]!;
      return;
    }
    default:
      // Like the kernel's data: a few values, most of it zeros.
      for (let n = random.below(200); n > 0; n--) page[random.below(PAGE)] = random.below(256);
  }
}

/** Asserts that an image holds just what the machine had: its RAM and nothing else. */
export function assertSameMemory(memory: PhysicalMemory, source: SmallMemory): void {
  for (let page = 0; page < source.size; page += PAGE) {
    const read = memory.read(page, PAGE);
    const where = `page 0x${page.toString(16)}`;
    if (source.has(page)) {
      assert.ok(read !== undefined, `${where} is absent`);
      assert.ok(same(read, source.bytes(page, page + PAGE)), `${where} differs`);
    } else {
      assert.equal(read, undefined, `${where} is there`);
    }
  }
  assert.equal(memory.read(source.size, 1), undefined);
}

/** Asserts that what can be read is right; how many pages cannot be read. */
export function assertNothingWrong(memory: PhysicalMemory, source: SmallMemory): number {
  let absent = 0;
  for (const { start, end } of source.ram) {
    for (let page = start; page < end; page += PAGE) {
      const read = memory.read(page, PAGE);
      if (read === undefined) absent++;
      else {
        assert.ok(
          same(read, source.bytes(page, page + PAGE)),
          `page 0x${page.toString(16)} is read wrongly`,
        );
      }
    }
  }
  return absent;
}

/** Asserts that a search finds what is there, wherever it lies. */
export function assertSearches(memory: PhysicalMemory, source: SmallMemory): void {
  const random = new Random(3);
  for (let round = 0; round < 40; round++) {
    const { start, end } = random.one(source.ram);
    const length = 1 + random.below(20);
    const at = start + random.below(end - start - length);
    const pattern = source.bytes(at, at + length).slice();
    if (pattern.every((byte) => byte === 0)) continue;
    const align = random.one([1, 1, 4, 64, 4096]);
    const options = {
      start: random.below(at + 1),
      end: at + length + random.below(source.size),
      align,
      phase: random.one([0, at % align]),
      limit: random.one([1, 3, 64]),
    };
    assert.deepEqual(
      searchOne(memory, pattern, options),
      searchSlowly(source, pattern, options),
      `${length} bytes at ${at}, ${JSON.stringify(options)}`,
    );
  }
}

function searchSlowly(
  source: SmallMemory,
  pattern: Uint8Array,
  { start, end, align, phase, limit }: Record<
    "start" | "end" | "align" | "phase" | "limit",
    number
  >,
): number[] {
  const hits: number[] = [];
  for (const range of source.ram) {
    const last = Math.min(end, range.end) - pattern.length;
    const bytes = source.bytes(0, source.size);
    for (let at = Math.max(start, range.start); at <= last && hits.length < limit; at++) {
      if (at % align !== phase || bytes[at] !== pattern[0]) continue;
      if (pattern.every((byte, i) => bytes[at + i] === byte)) hits.push(at);
    }
  }
  return hits;
}

export function same(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}
