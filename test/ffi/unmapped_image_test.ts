import assert from "node:assert/strict";
import { FileError } from "../../lib/cli/host.ts";
import { openMemory } from "../../lib/memory/open_memory.ts";
import { UnmappedImage } from "../../ffi/unmapped_image.ts";
import { buildElf } from "../memory/fake_elf.ts";
import { withFolder } from "./open_image.ts";
import { searchOne } from "../memory/search_one.ts";

/** Bytes that differ from block to block. */
function content(length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => i * 7 + (i >> 12));
}

Deno.test("UnmappedImage reads and searches like a mapped one", () => {
  withFolder((folder) => {
    const bytes = content(300_000);
    const path = `${folder}/image`;
    Deno.writeFileSync(path, bytes);
    const image = new UnmappedImage(path);
    assert.equal(image.size, bytes.length);
    assert.equal(image.isMapped, false);
    for (const [at, length] of [[0, 10], [65_530, 20], [1, 299_999], [299_999, 1]] as const) {
      assert.deepEqual(image.read(at, length), bytes.subarray(at, at + length));
    }
    assert.equal(image.read(299_999, 2), undefined);
    assert.equal(image.read(-1, 1), undefined);
    const pattern = bytes.slice(131_070, 131_080);
    assert.ok(searchOne(image, pattern, { limit: 1000 }).includes(131_070));
    assert.deepEqual(searchOne(image, pattern, { start: 131_070, end: 131_080 }), [131_070]);
    assert.equal(image.shrank, false);
    image.close();
  });
});

Deno.test("UnmappedImage reads zeros where the file shrank, and says so", () => {
  withFolder((folder) => {
    const path = `${folder}/image`;
    Deno.writeFileSync(path, content(200_000));
    const image = new UnmappedImage(path);
    Deno.truncateSync(path, 100_000);
    assert.deepEqual(image.read(150_000, 4), new Uint8Array(4));
    assert.equal(image.shrank, true);
    image.close();
  });
});

Deno.test("UnmappedImage says why a file cannot be opened", () => {
  assert.throws(() => new UnmappedImage("/nowhere"), FileError);
});

Deno.test("openMemory() reads what /proc/kcore shows of physical memory", () => {
  withFolder((folder) => {
    const path = `${folder}/kcore`;
    const ram = content(0x3000);
    ram.set(new TextEncoder().encode("OSRELEASE="), 0x2ff0);
    Deno.writeFileSync(
      path,
      buildElf([
        // vmalloc has no physical address.
        { address: 2n ** 64n - 1n, bytes: content(0x1000) },
        { address: 0x1000, bytes: ram },
      ]),
    );
    // As large as the address space, like the real one: a hole that no read reaches.
    Deno.truncateSync(path, 2 ** 43);
    const image = new UnmappedImage(path);
    const { memory, damage } = openMemory(image);
    assert.equal(memory.format, "kcore");
    assert.deepEqual(memory.read(0x1000, 0x3000), ram);
    assert.equal(memory.read(0x4000, 1), undefined);
    assert.deepEqual(damage, []);
    assert.deepEqual(searchOne(memory, ram.slice(0x2ff0, 0x2ffa), { align: 16 }), [0x3ff0]);
    image.close();
  });
});
