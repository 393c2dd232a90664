/**
 * Scans kernels whose own symbols and types are gone, with files in their place: the entries are
 * those of the scan that needed none.
 */
import assert from "node:assert/strict";
import { eraseBtf, eraseSymbols, ownBtf, ownSymbols, systemMap } from "./own_tables.ts";
import { PROGRAM } from "../paths.ts";
import { writeIsf } from "../kernel/write_isf.ts";
import { PatchedImage } from "./patched_image.ts";

const FOLDER = Deno.makeTempDirSync();
const SLIDE = 0x200_0000n;

addEventListener("unload", () => Deno.removeSync(FOLDER, { recursive: true }));

/** Puts a file into the folder; its path. */
function put(name: string, content: Uint8Array | string): string {
  const path = `${FOLDER}/${name}`;
  if (typeof content === "string") Deno.writeTextFileSync(path, content);
  else Deno.writeFileSync(path, content);
  return path;
}

interface Outcome {
  readonly code: number;
  readonly said: string;
  readonly entries: string;
  readonly coverage: Record<"symbols" | "types", Record<string, unknown>> & { kernel: string };
  readonly complete: boolean;
}

function scan(image: PatchedImage, ...flags: string[]): Outcome {
  const path = put("image", image.bytes);
  const { code, stdout, stderr } = new Deno.Command(PROGRAM, {
    args: ["scan", "--format", "ndjson", ...flags, path],
  }).outputSync();
  const lines = new TextDecoder().decode(stdout).trimEnd().split("\n");
  const [start, end] = code === 0 ? [lines[0]!, lines.at(-1)!].map((line) => JSON.parse(line)) : [];
  return {
    code,
    said: new TextDecoder().decode(stderr),
    entries: lines.slice(1, -1).join("\n"),
    coverage: start?.coverage,
    complete: end?.complete,
  };
}

function assertRefused(outcome: Outcome, code: number, said: RegExp): void {
  assert.match(outcome.said, said);
  assert.equal(outcome.said.trimEnd().includes("\n"), false, outcome.said);
  assert.equal(outcome.code, code);
  assert.equal(outcome.entries, "");
}

/** Files made of a kernel's own tables. */
class OwnFiles {
  readonly symbols: ReturnType<typeof ownSymbols>;
  readonly btf: string;
  readonly #btf: Uint8Array;
  readonly #name: string;

  constructor(image: PatchedImage, name: string) {
    this.symbols = ownSymbols(image);
    this.#btf = ownBtf(image);
    this.#name = name;
    this.btf = put(`${name}.btf`, this.#btf);
  }

  map(slide = SLIDE): string {
    return put(`${this.#name}.map`, systemMap(this.symbols, slide));
  }

  isf(banner?: string): string {
    const symbols = new Map(this.symbols.map(([name, , at]) => [name, at - SLIDE]));
    const source = { btf: this.#btf, symbols, ...(banner === undefined ? {} : { banner }) };
    return put(`${this.#name}.json`, writeIsf(source));
  }
}

const OTHER = new OwnFiles(new PatchedImage("6.12-4level.elf"), "other");

for (const fixture of ["6.1-4level.elf", "7.x-la57.elf"]) {
  const image = new PatchedImage(fixture);
  const own = new OwnFiles(image, fixture);
  const expected = scan(image);
  const { kernel: banner } = expected.coverage;
  const without = (...erase: ((image: PatchedImage) => void)[]) => {
    const patched = new PatchedImage(fixture);
    for (const each of erase) each(patched);
    return patched;
  };

  Deno.test(`scan of ${fixture} without BTF gives the same entries by --btf`, () => {
    const patched = without(eraseBtf);
    assertRefused(scan(patched), 1, /its BTF cannot be read: .*--btf or --isf/);
    const { entries, coverage, complete } = scan(patched, "--btf", own.btf);
    assert.equal(entries, expected.entries);
    const { file, found_by } = coverage.types;
    assert.deepEqual([file, found_by, complete], [own.btf, "btf_file", true]);
  });

  Deno.test(`scan of ${fixture} without kallsyms gives the same entries by --symbols`, () => {
    const patched = without(eraseSymbols);
    assertRefused(scan(patched), 1, /Cannot find a Linux kernel/);
    for (const slide of [SLIDE, 0n]) {
      const map = own.map(slide);
      const { entries, coverage, complete } = scan(patched, "--symbols", map);
      assert.equal(entries, expected.entries);
      const count = own.symbols.length;
      const found = { found_by: "system_map", file: map, count, slide: `0x${slide.toString(16)}` };
      assert.deepEqual(coverage.symbols, found);
      assert.equal(complete, true);
    }
  });

  Deno.test(`scan of ${fixture} without both gives the same entries by files of both`, () => {
    const patched = without(eraseBtf, eraseSymbols);
    assert.equal(
      scan(patched, "--btf", own.btf, "--symbols", own.map()).entries,
      expected.entries,
    );
    for (const isf of [own.isf(), own.isf(banner)]) {
      const { entries, coverage } = scan(patched, "--isf", isf);
      assert.equal(entries, expected.entries);
      assert.equal(coverage.types["found_by"], "isf");
      assert.equal(coverage.symbols["found_by"], "isf");
    }
  });

  // What refuses is the same for all.
  if (fixture !== "6.1-4level.elf") continue;

  Deno.test(`scan of ${fixture} refuses files of another kernel`, () => {
    const patched = without(eraseBtf, eraseSymbols);
    const isNot = "Cannot use .*: it is not of the kernel in .*: ";
    const cases: [PatchedImage, string[], string][] = [
      [image, ["--btf", OTHER.btf], `${isNot}its types take \\d+ bytes, those of the image \\d+$`],
      [image, ["--symbols", OTHER.map()], `${isNot}_stext and linux_banner are elsewhere in it$`],
      [image, ["--isf", OTHER.isf("Linux version 2")], `${isNot}it is for "Linux version 2", the`],
      // Nothing of the kernel's own is there to compare with.
      [patched, ["--btf", own.btf, "--symbols", OTHER.map()], isNot],
      [patched, ["--isf", own.isf("Linux version 1.0")], `${isNot}it is for "Linux version 1.0"`],
    ];
    for (const [patched, flags, said] of cases) {
      assertRefused(scan(patched, ...flags), 2, new RegExp(said, "m"));
    }
    // Only types could lead to the kernel's page tables.
    assertRefused(
      scan(patched, "--btf", OTHER.btf, "--symbols", own.map()),
      1,
      /none that leads to one, or ".*other.btf" is of another kernel$/m,
    );
  });

  Deno.test(`scan of ${fixture} refuses symbols that differ from the kernel's own in one`, () => {
    const cases = [["do_exit", image], ["init_task", without(eraseSymbols)]] as const;
    for (const [name, patched] of cases) {
      const moved = own.symbols.map(([symbol, type, at]) =>
        [symbol, type, symbol === name ? at + 0x10000n : at] as const
      );
      const map = put("moved.map", systemMap(moved, SLIDE));
      assertRefused(scan(patched, "--symbols", map), 2, new RegExp(`: ${name} is `));
    }
  });
}
