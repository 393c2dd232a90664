/**
 * Scans a guest's memory in which the kernel's own symbols and types are gone, with the files of
 * Debian's debug package in their place. The entries are those of the scan that needed none.
 */
import assert from "node:assert/strict";
import { findKernel } from "../../lib/kernel/find_kernel.ts";
import { readElfCore } from "../../lib/memory/elf_core.ts";
import { openMemory } from "../../lib/memory/open_memory.ts";
import { openImage } from "../ffi/open_image.ts";
import { PROGRAM } from "../paths.ts";
import { drgnIsfCommand, drgnMissing } from "./drgn.ts";
import { debugFile } from "./kernels.ts";
import { labDebug, type LabDump, labDump } from "./lab.ts";
import { labTest } from "./lab_case.ts";
import { LabUnavailableError, run } from "./run.ts";

/** The debug files of the first are fetched, some 300 MB; those of the others are used if there. */
const KERNELS = ["6.1", "6.12", "backports"];
const CACHE = `${import.meta.dirname}/../../.cache/lab`;

async function dumpOf(kernel: string): Promise<LabDump> {
  if (kernel === KERNELS[0]) await labDebug(kernel);
  const reason = drgnMissing(kernel);
  if (reason !== undefined) throw new LabUnavailableError(reason);
  return await labDump({ kernel });
}

/** How any BTF begins: magic, version, flags, length of the header, offset of the types. */
const BTF_HEADER = Uint8Array.of(0x9f, 0xeb, 1, 0, 24, 0, 0, 0, 0, 0, 0, 0);

/** A dump to be damaged: what its kernel has at which offset of the file. */
class Copy {
  readonly path: string;
  readonly #original: string;
  readonly #map: ReadonlyMap<string, bigint>;

  constructor(path: string, original: string, systemMap: string) {
    this.path = path;
    this.#original = original;
    this.#map = new Map(
      Deno.readTextFileSync(systemMap).trimEnd().split("\n").map((line) => {
        const [address, , name] = line.split(" ");
        return [name!, BigInt(`0x${address}`)];
      }),
    );
  }

  /** Makes the copy anew, without what lies between pairs of symbols. */
  async erase(...pairs: readonly (readonly [first: string, last: string])[]): Promise<void> {
    await run("cp", ["--sparse=always", this.#original, this.path]);
    const image = openImage(this.#original);
    using file = Deno.openSync(this.path, { write: true });
    try {
      const { memory, cpus, vmcoreinfo } = openMemory(image);
      const { program } = findKernel(memory, { name: this.path, cpus, vmcoreinfo });
      const slide = program.symbols.lookup("_stext")! - this.#map.get("_stext")!;
      const { ranges } = readElfCore(image);
      const zero = (physical: number, length: number) => {
        const range = ranges.find(({ start, end }) => start <= physical && physical < end)!;
        file.seekSync(range.offset + physical - range.start, Deno.SeekMode.Start);
        file.writeSync(new Uint8Array(length));
      };
      for (const [first, last] of pairs) {
        const end = this.#map.get(last)! + slide;
        for (let at = this.#map.get(first)! + slide; at < end;) {
          const length = Math.min(Number(end - at), 4096 - Number(at & 0xfffn));
          zero(program.memory.translate(at), length);
          at += BigInt(length);
        }
      }
      // The kernel's unpacked image can lie about, with types of its own that a scan finds.
      const copied = pairs.includes(TYPES) ? [BTF_HEADER] : [];
      const notes = ["OSRELEASE=", "VMCOREINFO\0"].map((word) => new TextEncoder().encode(word));
      for (const bytes of [...notes, ...copied]) {
        const [hits = []] = memory.search([{ bytes }], { limit: 4096 });
        for (const at of hits) zero(at, bytes.length);
      }
    } finally {
      image.close();
    }
  }
}

async function entriesOf(image: string, ...flags: string[]): Promise<string> {
  const text = await run(PROGRAM, ["scan", "--format", "ndjson", ...flags, image]);
  return text.split("\n").filter((line) => line.includes('"type":"IOUringEntry"')).join("\n");
}

const TYPES = ["__start_BTF", "__stop_BTF"] as const;
const SYMBOLS = ["kallsyms_num_syms", "kallsyms_token_index"] as const;

for (const kernel of KERNELS) {
  await labTest(
    `scan of ${kernel} with Debian's System.map and vmlinux, and with ISF that drgn made of them`,
    () => dumpOf(kernel),
    async ({ elf }) => {
      const vmlinux = debugFile(kernel, CACHE, "vmlinux");
      const map = debugFile(kernel, CACHE, "System.map");
      const folder = await Deno.makeTempDir();
      try {
        const isf = `${folder}/kernel.json`;
        const [python, args] = drgnIsfCommand(vmlinux, map);
        await run("sh", ["-c", '"$@" > "$0" && xz -0 -k "$0"', isf, python, ...args]);
        const expected = await entriesOf(elf);
        assert.ok(expected.length > 10_000);
        const copy = new Copy(`${folder}/guest.elf`, elf, map);

        await copy.erase(TYPES);
        await assert.rejects(entriesOf(copy.path), /its BTF cannot be read/);
        assert.equal(await entriesOf(copy.path, "--btf", vmlinux), expected);
        assert.equal(await entriesOf(copy.path, "--isf", isf), expected);

        await copy.erase(SYMBOLS);
        await assert.rejects(entriesOf(copy.path), /Cannot find a Linux kernel/);
        assert.equal(await entriesOf(copy.path, "--symbols", map), expected);

        await copy.erase(TYPES, SYMBOLS);
        assert.equal(await entriesOf(copy.path, "--symbols", map, "--btf", vmlinux), expected);
        assert.equal(await entriesOf(copy.path, "--isf", `${isf}.xz`), expected);

        for (const other of KERNELS.filter((name) => name !== kernel)) {
          const file = (name: "vmlinux" | "System.map") => debugFile(other, CACHE, name);
          if (drgnMissing(other) !== undefined) continue;
          const refused = /exit 2: Cannot use .*: it is not of the kernel in /;
          await assert.rejects(entriesOf(elf, "--btf", file("vmlinux")), refused);
          await assert.rejects(entriesOf(elf, "--symbols", file("System.map")), refused);
        }
      } finally {
        await Deno.remove(folder, { recursive: true });
      }
    },
  );
}
