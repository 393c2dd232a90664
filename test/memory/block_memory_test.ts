import assert from "node:assert/strict";
import { type Block, BlockMemory } from "../../lib/memory/block_memory.ts";
import { ByteCache } from "../../lib/memory/byte_cache.ts";
import { InflatedFile } from "../../lib/memory/inflated_file.ts";
import { deflateSync } from "node:zlib";
import { Random } from "../scan/mutations.ts";
import { BufferImage } from "./buffer_image.ts";
import { searchOne } from "./search_one.ts";

Deno.test("ByteCache holds no more than its limit, and drops what was not used longest", () => {
  const cache = new ByteCache(10);
  cache.add(1, new Uint8Array(4));
  cache.add(2, new Uint8Array(4));
  assert.ok(cache.get(1));
  cache.add(3, new Uint8Array(4));
  assert.equal(cache.get(2), undefined);
  assert.ok(cache.get(1) && cache.get(3));
  cache.add(3, new Uint8Array(6));
  assert.ok(cache.get(1) && cache.get(3));
  cache.add(4, new Uint8Array(100));
  assert.deepEqual([1, 2, 3].map((key) => cache.get(key)), [undefined, undefined, undefined]);
  assert.equal(cache.get(4)?.length, 100);
});

Deno.test("BlockMemory decodes a block once while it is in the cache, and counts damaged ones", () => {
  const decoded: number[] = [];
  const memory = new BlockMemory({
    format: "test",
    ranges: [{ start: 0, end: 1000 }],
    seek(address): Block | undefined {
      const key = Math.floor(address / 100);
      return key < 10 ? { start: key * 100, end: key * 100 + 100, key } : undefined;
    },
    decode({ key }) {
      decoded.push(key);
      return key === 5 ? undefined : new Uint8Array(key === 6 ? 99 : 100).fill(key);
    },
  }, 300);
  assert.deepEqual(memory.read(98, 4), new Uint8Array([0, 0, 1, 1]));
  assert.equal(memory.read(0, 100)?.[99], 0);
  assert.deepEqual(decoded, [0, 1]);
  for (const address of [200, 300, 0, 100]) memory.read(address, 1);
  assert.deepEqual(decoded, [0, 1, 2, 3, 1]);
  assert.equal(memory.read(450, 100), undefined);
  assert.equal(memory.read(550, 1), undefined);
  assert.equal(memory.read(600, 1), undefined);
  assert.equal(memory.read(1000, 1), undefined);
  assert.equal(memory.undecodable, 2);
  assert.deepEqual(searchOne(memory, new Uint8Array([8, 9])), [899]);
  assert.deepEqual(searchOne(memory, new Uint8Array([4, 7])), []);
});

Deno.test("InflatedFile reads anywhere in a long stream", () => {
  const random = new Random(6);
  const plain = new Uint8Array(12 * 1024 * 1024 + 123);
  for (let at = 0; at < plain.length;) {
    const end = Math.min(plain.length, at + 1 + random.below(5000));
    if (random.below(3) === 0) plain.fill(random.below(256), at, end);
    else for (let i = at; i < end; i++) plain[i] = random.below(1 << (1 + random.below(8)));
    at = end;
  }
  for (const windowBits of [9, 11, 15]) {
    const file = new InflatedFile(
      new BufferImage(new Uint8Array(deflateSync(plain, { windowBits }))),
    );
    assert.equal(file.size, plain.length);
    assert.deepEqual(file.damage, []);
    for (let n = 0; n < 60; n++) {
      const at = random.below(plain.length);
      const length = random.below(Math.min(700_000, plain.length - at));
      const read = file.read(at, length)!;
      assert.equal(read.length, length);
      for (let i = 0; i < length; i += 1 + random.below(500)) assert.equal(read[i], plain[at + i]);
    }
    assert.equal(file.read(plain.length, 1), undefined);
    const at = random.below(plain.length - 12);
    assert.ok(searchOne(file, plain.subarray(at, at + 12), { start: at - 40 }).includes(at));
  }
});
