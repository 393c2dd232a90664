/** Damages the types of real kernels: what is left is as it was, and what is lost is said to be. */
import assert from "node:assert/strict";
import { Btf } from "../../lib/kernel/btf.ts";
import { BtfError } from "../../lib/kernel/btf_format.ts";
import { ImageError } from "../../lib/memory/image_error.ts";
import { ownBtf } from "../scan/own_tables.ts";
import { PatchedImage } from "../scan/patched_image.ts";

const FIXTURES = ["5.10-4level.elf", "6.12-4level.elf", "7.x-4level.elf"];
/** From the beginning of the types to their end. */
const STRUCTS = [
  "list_head",
  "task_struct",
  "file",
  "io_ring_ctx",
  "io_kiocb",
  "sk_buff",
  "dentry",
];

let state = 1;
const random = (end: number) => (state = state * 48271 % 0x7fffffff) % end;

/** Members of a struct with what they are, as far as names tell. */
function layoutOf(types: Btf, name: string): string {
  const struct = types.struct(name);
  if (struct === undefined) return "absent";
  const members = [...struct.members].map(([member, { bitOffset, bitWidth, typeId }]) => {
    const shape = types.shape(typeId);
    const target = shape.kind === "pointer" ? types.shape(shape.target) : shape;
    const named = target.kind === "struct" ? types.structOfId(target.id).name : "";
    return [member, bitOffset, bitWidth, shape.kind, target.kind, named, types.sizeOf(typeId)]
      .join();
  });
  return `${struct.size} ${members.join(" ")}`;
}

/** Layouts of the structs that can be told; the others have to be said to be lost. */
function layouts(types: Btf): (string | undefined)[] {
  return STRUCTS.map((name) => {
    try {
      return layoutOf(types, name);
    } catch (error) {
      assert.ok(error instanceof ImageError, String(error));
      assert.match(error.message, /is lost, as its BTF is damaged/);
      return undefined;
    }
  });
}

for (const fixture of FIXTURES) {
  const whole = ownBtf(new PatchedImage(fixture));
  const typeLength = new DataView(whole.buffer).getUint32(12, true);
  const expected = layouts(new Btf(whole));
  assert.equal(expected.includes(undefined), false);

  /** What salvage leaves; structs that it has must be as they were. */
  const salvaged = (bytes: Uint8Array) => {
    const types = new Btf(bytes, { salvage: true });
    const got = layouts(types);
    got.forEach((layout, i) => {
      if (layout !== undefined) assert.equal(layout, expected[i], STRUCTS[i]!);
    });
    return { types, kept: got.filter((layout) => layout !== undefined).length };
  };

  Deno.test(`Btf() salvages all types of ${fixture} where nothing is damaged`, () => {
    const { types, kept } = salvaged(whole);
    assert.equal(types.lost, 0);
    assert.equal(types.typeCount, new Btf(whole).typeCount);
    assert.equal(kept, STRUCTS.length);
  });

  Deno.test(`Btf() loses few types of ${fixture} to one damaged kind`, () => {
    // Where types begin.
    const starts: number[] = [];
    const view = new DataView(whole.buffer);
    const each: Record<number, number> = { 4: 12, 5: 12, 6: 8, 13: 8, 15: 12, 19: 12 };
    for (let at = 24; at < 24 + typeLength;) {
      starts.push(at);
      const kind = view.getUint8(at + 7) & 0x1f;
      const fixed = kind === 3 ? 12 : kind === 1 || kind === 14 || kind === 17 ? 4 : 0;
      at += 12 + fixed + (each[kind] ?? 0) * view.getUint16(at + 4, true);
    }
    let all = 0;
    for (let round = 0; round < 20; round++) {
      const bytes = whole.slice();
      bytes[starts[random(starts.length)]! + 7] = 0x1f;
      assert.throws(() => new Btf(bytes), BtfError);
      const { types, kept } = salvaged(bytes);
      assert.ok(types.lost >= 1 && types.lost <= 4, `${types.lost} lost`);
      if (kept === STRUCTS.length) all++;
    }
    assert.ok(all >= 15, `all are kept in ${all} of 20 rounds`);
  });

  Deno.test(`Btf() loses the types of ${fixture} that lie in a page of zeros`, () => {
    for (let round = 0; round < 6; round++) {
      const bytes = whole.slice();
      const at = 24 + random(typeLength - 8192);
      bytes.fill(0, at, at + 4096);
      assert.throws(() => new Btf(bytes), BtfError);
      const { types, kept } = salvaged(bytes);
      assert.ok(types.lost >= 4096 / 200 && types.lost <= 4096 / 12 + 4, `${types.lost} lost`);
      assert.ok(kept >= STRUCTS.length - 3, `${kept} kept`);
    }
  });

  Deno.test(`Btf() reads ${fixture} with one damaged number in its header`, () => {
    for (const at of [0, 2, 4, 8, 12, 16, 20]) {
      const bytes = whole.slice();
      bytes[at]! ^= 0x24;
      // Strings that are shorter may be followed by something else.
      if (at !== 20) assert.throws(() => new Btf(bytes), BtfError, `byte ${at}`);
      assert.equal(salvaged(bytes).kept, STRUCTS.length);
    }
  });

  Deno.test(`Btf() refuses ${fixture} without all of its strings`, () => {
    const bytes = whole.slice();
    bytes.fill(0, 24 + typeLength + 4096, 24 + typeLength + 8192);
    assert.throws(() => new Btf(bytes), BtfError);
    assert.throws(() => new Btf(bytes, { salvage: true }), BtfError);
  });

  Deno.test(`Btf() salvages nothing wrong from ${fixture} with any damage to types`, () => {
    for (let round = 0; round < 10; round++) {
      const bytes = whole.slice();
      // Not what a layout is made of, of which nobody can tell that it is damaged.
      for (let i = random(3); i >= 0; i--) {
        const at = 24 + 4 * random(typeLength / 4);
        bytes.fill(0xff, at, at + 4 * (1 + random(64)));
      }
      try {
        layouts(new Btf(bytes, { salvage: true }));
      } catch (error) {
        assert.ok(error instanceof BtfError, String(error));
      }
    }
  });
}
