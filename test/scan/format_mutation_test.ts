/**
 * Memory of real kernels in every format: the entries are those of the core that it was taken from.
 * Then the same images damaged and cut: one clear line, or records that keep their types and a word
 * on what is missing; never anything else, and no run reads without end.
 *
 * `IOURING_MUTATION_RUNS=3000 deno task test test/scan/format_mutation_test.ts` goes on for longer.
 */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { readFileSync } from "node:fs";
import { deflateSync } from "node:zlib";
import { writeElfCore } from "../../lib/memory/elf_core_writer.ts";
import { ImageError } from "../../lib/memory/image_error.ts";
import type { ImageFile } from "../../lib/memory/image_file.ts";
import { openMemory } from "../../lib/memory/open_memory.ts";
import type { AddressRange, PhysicalMemory } from "../../lib/memory/physical_memory.ts";
import type { IOUringStatus, StreamRecord } from "../../lib/record/records.ts";
import { scanImage } from "../../lib/scan/scan_image.ts";
import { withFolder } from "../ffi/open_image.ts";
import { imageFixtures, unpackFixture } from "../fixtures.ts";
import { BoundedImage, BufferImage } from "../memory/buffer_image.ts";
import {
  flattened,
  type KdumpCodec,
  type SourceMemory,
  writeAvml,
  writeKdump,
  writeLime,
  writeVmware,
} from "../memory/write_formats.ts";
import { checkRecord, MAX_READS, Random } from "./mutations.ts";

/** With other damage each, the formats in turn. */
const RUNS = Number(Deno.env.get("IOURING_MUTATION_RUNS") ?? 39);
const PAGE = 4096;

/** The memory of a slice, as of a machine with nothing else but its VMCOREINFO, in the last page. */
class FixtureMemory implements SourceMemory {
  readonly ram: readonly AddressRange[];
  readonly size: number;
  readonly vmcoreinfo: string;
  readonly directMap = 0n;
  readonly #memory: PhysicalMemory;

  constructor(core: Uint8Array) {
    const { memory, vmcoreinfo } = openMemory(new BufferImage(core));
    const end = memory.ranges.at(-1)!.end;
    this.#memory = memory;
    this.vmcoreinfo = vmcoreinfo!;
    this.size = end + PAGE;
    this.ram = [...memory.ranges, { start: end, end: end + PAGE }];
  }

  /** A core without the ranges that are zeros alone: as AVML writes it, whose blocks are larger. */
  coreWithoutZeros(): Uint8Array {
    const runs = this.#memory.ranges
      .filter(({ start, end }) => this.bytes(start, end).some((byte) => byte !== 0))
      .map(({ start, end }) => ({ start, length: end - start }));
    return Buffer.concat([...writeElfCore(this.#memory, runs, { vmcoreinfo: this.vmcoreinfo })]);
  }

  bytes(start: number, end: number): Uint8Array {
    const bytes = new Uint8Array(end - start);
    for (const range of this.#memory.ranges) {
      const from = Math.max(start, range.start);
      const to = Math.min(end, range.end);
      if (from < to) bytes.set(this.#memory.read(from, to - from)!, from - start);
    }
    const info = this.size - PAGE;
    if (end === this.size) {
      bytes.set(new TextEncoder().encode(this.vmcoreinfo), Math.max(0, info - start));
    }
    return bytes;
  }
}

/** An image in one format, of which some bytes can be exchanged. */
interface Sample {
  readonly name: string;
  readonly fixture: string;
  /** What is damaged, and the image that it makes. */
  readonly bytes: Uint8Array;
  open(bytes: Uint8Array): ImageFile;
}

type Make = (memory: SourceMemory, core: Uint8Array, folder: string) => Omit<Sample, "fixture">;

/** A format that is one file. */
function oneFile(name: string, make: (memory: SourceMemory, path: string) => Uint8Array | void) {
  return (memory: SourceMemory, _core: Uint8Array, folder: string): Omit<Sample, "fixture"> => {
    const path = `${folder}/image`;
    const bytes = make(memory, path) ?? new Uint8Array(readFileSync(path));
    return { name, bytes, open: bounded };
  };
}

function fileOf(write: (path: string) => void, path: string): Uint8Array {
  write(path);
  return new Uint8Array(readFileSync(path));
}

/** An image of which only so much may be read. */
function bounded(bytes: Uint8Array): BufferImage {
  return new BoundedImage(bytes, mostOf(bytes));
}

/** What a scan may read of a file, bytes; of the shortest, too, it looks for every format. */
function mostOf(bytes: Uint8Array): number {
  return MAX_READS * Math.max(bytes.length, 2 ** 20);
}

/** A file that cannot be mapped. */
class UnmappedBuffer extends BoundedImage {
  override readonly isMapped = false as unknown as true;
}

const FORMATS: readonly Make[] = [
  (_memory, core) => ({ name: "elf", bytes: core, open: bounded }),
  (_memory, core) => ({
    name: "kcore",
    bytes: core,
    open: (bytes) => new UnmappedBuffer(bytes, mostOf(bytes)),
  }),
  oneFile("lime", (memory, path) => writeLime(path, memory)),
  oneFile(
    "lime, zlib",
    (memory, path) =>
      deflateSync(fileOf((path) => writeLime(path, memory), path), { windowBits: 11, memLevel: 5 }),
  ),
  oneFile("avml, version 1", (memory, path) => writeAvml(path, memory, false)),
  oneFile("avml, version 2", (memory, path) => writeAvml(path, memory, true)),
  ...(["none", "zlib", "lzo", "snappy", "zstd"] as KdumpCodec[]).map((codec) =>
    oneFile(`kdump, ${codec}`, (memory, path) => writeKdump(path, memory, codec))
  ),
  oneFile(
    "kdump, flattened",
    (memory, path) =>
      flattened(fileOf((path) => writeKdump(path, memory, "zlib"), path), { seed: 7 }),
  ),
  (memory, _core, folder) => {
    writeVmware(`${folder}/image.vmem`, memory);
    const vmem = new Uint8Array(readFileSync(`${folder}/image.vmem`));
    return {
      name: "vmware",
      bytes: new Uint8Array(readFileSync(`${folder}/image.vmss`)),
      open: (vmss) => new BufferImage(vmem, "image.vmem", { vmss }),
    };
  },
];

const NO_OPTIONS = { now: () => 0, tool: { version: "", build: "" }, argv: [] };

function entriesOf(image: ImageFile): string[] {
  return [...scanImage(image, NO_OPTIONS)].flat().slice(1, -1).map((entry) =>
    JSON.stringify(entry)
  );
}

/** Scans what may be damaged, and holds it to what every run has to keep to. */
function assertScans(image: ImageFile): void {
  let last: StreamRecord | undefined;
  try {
    for (const record of [...scanImage(image, NO_OPTIONS)].flat()) {
      checkRecord(record);
      last = record;
    }
  } catch (error) {
    if (!(error instanceof ImageError)) throw error;
    assert.match(error.message, /^Cannot [^\n]*[^.\n]$/);
    return;
  }
  assert.equal((last as IOUringStatus).phase, "end");
}

/** Bytes cut at some place, or with some of them changed; half of the time in front: the headers. */
function damaged(bytes: Uint8Array, random: Random): { what: string; bytes: Uint8Array } {
  const place = () =>
    random.below(random.below(2) === 0 ? Math.min(40_000, bytes.length) : bytes.length);
  if (random.below(5) === 0) {
    const length = place();
    return { what: `cut at ${length}`, bytes: bytes.slice(0, length) };
  }
  const copy = bytes.slice();
  const done: string[] = [];
  for (let n = 1 + random.below(6); n > 0; n--) {
    const at = place();
    const length = random.one([1, 1, 4, 8, 64]);
    const value = random.one([0, 0xff, 0x7f, 0x80, random.below(256)]);
    if (random.below(3) === 0) copy[at]! ^= 1 << random.below(8);
    else copy.fill(value, at, at + length);
    done.push(`${length} bytes at ${at}`);
  }
  return { what: done.join(", "), bytes: copy };
}

const fixtures = imageFixtures().filter((name) => !name.includes("bare"));

Deno.test("scanImage() gives the same entries in every format, and outlives damage to each", async (t) => {
  const samples: Sample[] = [];
  for (const [i, make] of FORMATS.entries()) {
    const fixture = fixtures[i % fixtures.length]!;
    const core = new Uint8Array(readFileSync(unpackFixture(fixture)));
    const memory = new FixtureMemory(core);
    withFolder((folder) => {
      samples.push({ fixture, ...make(memory, core, folder) });
    });
    const { name, bytes, open } = samples.at(-1)!;
    await t.step(`${name} of ${fixture}`, () => {
      // A slice has no map of RAM that says which of AVML's gaps are zeros.
      const held = name.startsWith("avml") ? memory.coreWithoutZeros() : core;
      const expected = entriesOf(new BufferImage(held));
      const found = entriesOf(open(bytes));
      assert.equal(found.length, expected.length);
      assert.ok(found.every((entry, i) => entry === expected[i]), "the entries differ");
    });
  }
  await t.step("damaged", () => {
    for (let run = 0; run < RUNS; run++) {
      const { name, fixture, bytes, open } = samples[run % samples.length]!;
      const damage = damaged(bytes, new Random(run + 1));
      try {
        assertScans(open(damage.bytes));
      } catch (error) {
        if (error instanceof Error) {
          error.message = `${name} of ${fixture}, run ${run}: ${damage.what}: ${error.message}`;
        }
        throw error;
      }
    }
  });
});
