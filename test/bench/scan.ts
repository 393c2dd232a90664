/**
 * `deno task bench [IMAGE…]`: the time and memory of `dist/iouring scan`, the whole process, beside
 * `sha256sum` of the same file, and beside drgn listing the same rings, in turns. The page cache is
 * warm as far as memory holds the files: `faults` counts those that the disk served in the last run.
 * Then how fast memory is searched. Without arguments it takes a few dumps of the
 * lab, and says how to get those that are missing; the end of such a dump's path, such as
 * `6.12-la57-16384m-large/guest.raw`, takes its rows alone.
 *
 * @module
 */

import { existsSync, readFileSync, statSync } from "node:fs";
import { cpuUsage } from "node:process";
import type { SearchPattern } from "../../lib/memory/image_file.ts";
import { openImage } from "../ffi/open_image.ts";
import { drgnCommand, drgnMissing } from "../vm/drgn.ts";
import { PROGRAM, ROOT } from "../paths.ts";
import { mb, median, print } from "../report.ts";

const RUNS = 5;
/** Of files beyond the second bound below. */
const FEW_RUNS = 3;
const SAMPLE_MS = 2;
/** Larger files are summed once; those beyond the second bound, which are mostly holes, never. */
const SUM_OFTEN = 2 ** 30;
const SUM_ONCE = 2 ** 33;

/** What to time. */
interface Row {
  name: string;
  path: string;
  /** The arguments of `deno task lab` that make it. */
  lab?: string;
  /** The kernel, where the image is one that drgn reads. */
  drgn?: string;
  /** Flags of the scan. */
  flags?: readonly string[];
}

/** A dump of the lab. */
function labRow(name: string, path: string, lab: string, drgn?: string): Row {
  const row = { name, path: `${ROOT}.cache/lab/${path}`, lab };
  return drgn === undefined ? row : { ...row, drgn };
}

const NOTE = "--paging 5 --vmcoreinfo";
const HOLE = "6.1 --paging 4 --memory 5120 --sparse";
const HIGH = "6.12 --paging 5 --memory 65536 --sparse";
const LARGE = "6.12 --paging 5 --memory 16384 --large";
const FULL = `${LARGE} --vmcoreinfo --filled`;
const FULL_RAW = "6.12-la57-16384m-vmcoreinfo-filled-large/guest.raw";
const LAB: readonly Row[] = [
  labRow("6.1, 512 MiB, ELF", "6.1-la57-vmcoreinfo/guest.elf", `6.1 ${NOTE}`),
  labRow("6.1, 512 MiB, ELF, paging", "6.1-la57-vmcoreinfo/guest.paging.elf", `6.1 ${NOTE}`, "6.1"),
  labRow("6.12, 512 MiB, ELF", "6.12-la57-vmcoreinfo/guest.elf", `6.12 ${NOTE}`),
  labRow(
    "6.12, 512 MiB, ELF, paging",
    "6.12-la57-vmcoreinfo/guest.paging.elf",
    `6.12 ${NOTE}`,
    "6.12",
  ),
  labRow("6.1, 5 GiB, raw, PCI hole kept", "6.1-4level-5120m-sparse/padded.raw", HOLE),
  labRow("6.1, 5 GiB, raw, PCI hole squeezed", "6.1-4level-5120m-sparse/squeezed.raw", HOLE),
  labRow("6.12, 64 GiB, raw, sparse", "6.12-la57-65536m-sparse/padded.raw", HIGH),
  labRow("6.12, 16 GiB, raw, sparse", "6.12-la57-16384m-large/guest.raw", LARGE),
  labRow("6.12, 16 GiB, ELF, CPU state", "6.12-la57-16384m-large/guest.elf", LARGE),
  labRow("6.12, 16 GiB, ELF, note, full", FULL_RAW.replace("raw", "elf"), FULL),
  labRow("6.12, 16 GiB, raw, full", FULL_RAW, FULL),
  { ...labRow("6.12, 16 GiB, raw, full, --deep", FULL_RAW, FULL), flags: ["--deep"] },
];

const bytesOf = (text: string) => new TextEncoder().encode(text);
const BTF_HEADER = { bytes: new Uint8Array([0x9f, 0xeb, 1, 0, 24, 0, 0, 0]), align: 4 };
/** What a scan looks for where no header leads to the kernel, and about as much as `--deep` does. */
const SEARCHES: Record<string, readonly SearchPattern[]> = {
  "VMCOREINFO": [
    { bytes: bytesOf("OSRELEASE="), align: 4096 },
    { bytes: bytesOf("VMCOREINFO\0"), align: 4096, phase: 12 },
  ],
  "the first task, types": [{ bytes: bytesOf("swapper/0\0\0\0") }, BTF_HEADER],
  "six pointers": Array.from({ length: 6 }, (_, i) => ({
    bytes: new Uint8Array([0x40 * (i % 4), 0x17 + i, 0x2a, 0x82, 0xff, 0xff, 0xff, 0xff]),
    align: 8,
  })),
};

/** Wall time of one run in ms. */
function time(command: string, args: string[]): number {
  const start = performance.now();
  const { success, stderr } = new Deno.Command(command, { args, stdout: "null", stderr: "piped" })
    .outputSync();
  const duration = performance.now() - start;
  if (success) return duration;
  const said = new TextDecoder().decode(stderr).trim().split("\n").at(-1)!;
  throw new Error(`${command.split("/").at(-1)} failed: ${said.replaceAll(ROOT, "")}`);
}

/** Highest resident memory of one run in bytes, by kind, and what it took; all of it sampled. */
interface Usage {
  anon: number;
  shmem: number;
  file: number;
  /** Processor time in ms, in steps of 10. */
  cpu: number;
  /** Page faults that the disk served. */
  faults: number;
}

async function usageOf(args: string[]): Promise<Usage> {
  const child = new Deno.Command(PROGRAM, { args, stdout: "null", stderr: "null" }).spawn();
  const usage: Usage = { anon: 0, shmem: 0, file: 0, cpu: 0, faults: 0 };
  let running = true;
  const done = child.status.then(() => running = false);
  while (running) {
    const status = await Deno.readTextFile(`/proc/${child.pid}/status`).catch(() => "");
    for (const [, kind, kib] of status.matchAll(/^Rss(Anon|Shmem|File):\s+(\d+)/gm)) {
      const key = kind!.toLowerCase() as keyof Usage;
      usage[key] = Math.max(usage[key], Number(kib) * 1024);
    }
    // proc_pid_stat(5): what follows the name in brackets begins with field 3.
    const stat = await Deno.readTextFile(`/proc/${child.pid}/stat`).catch(() => "");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ").map(Number);
    usage.faults = Math.max(usage.faults, fields[12 - 3] ?? 0);
    usage.cpu = Math.max(usage.cpu, 10 * ((fields[14 - 3] ?? 0) + (fields[15 - 3] ?? 0)));
    await new Promise((resolve) => setTimeout(resolve, SAMPLE_MS));
  }
  await done;
  return usage;
}

/** Physical address of the kernel's text, by the VMCOREINFO of a slice of the image. */
function kernelAddress(image: string): number | undefined {
  const dir = Deno.makeTempDirSync();
  try {
    time(PROGRAM, ["scan", "--slice", `${dir}/slice.elf`, image]);
    const slice = readFileSync(`${dir}/slice.elf`, "latin1");
    const text = /SYMBOL\(_stext\)=([0-9a-f]+)/.exec(slice)?.[1];
    const base = /NUMBER\(phys_base\)=(-?\d+)/.exec(slice)?.[1];
    if (text === undefined || base === undefined) return undefined;
    return Number(BigInt(`0x${text}`) - 0xffffffff80000000n + BigInt(base));
  } finally {
    Deno.removeSync(dir, { recursive: true });
  }
}

/** Prints a line of cells; one without a value is a dash. */
function line(name: string, ...cells: (string | undefined)[]): void {
  print(name.padEnd(36) + cells.map((cell = "-") => cell.padStart(11)).join(""));
}

const gib = (bytes: number) => `${(bytes / 2 ** 30).toFixed(2)} GiB`;
const ms = (value: number) => `${value.toFixed(0)} ms`;

/** Times one image and prints its row. Throws where it is not, or does not stay, what it was. */
async function measure({ name, path, drgn, flags = [] }: Row, useDrgn: boolean): Promise<void> {
  const { size, ino } = statSync(path);
  const times = { scan: [] as number[], sum: [] as number[], drgn: [] as number[] };
  const kernel = kernelAddress(path);
  if (size <= SUM_ONCE) time("sha256sum", [path]);
  for (let i = 0; i < (size <= SUM_ONCE ? RUNS : FEW_RUNS); i++) {
    times.scan.push(time(PROGRAM, ["scan", ...flags, path]));
    if (size <= (i === 0 ? SUM_ONCE : SUM_OFTEN)) times.sum.push(time("sha256sum", [path]));
    if (useDrgn && drgn !== undefined) times.drgn.push(time(...drgnCommand(drgn, path)));
  }
  const { anon, shmem, file, cpu, faults } = await usageOf(["scan", ...flags, path]);
  if (statSync(path).ino !== ino) throw new Error("it was made again meanwhile");
  const scan = median(times.scan);
  const beside = (others: number[]) => {
    if (others.length === 0) return [undefined, undefined];
    return [ms(median(others)), (scan / median(others)).toFixed(2)];
  };
  line(
    name,
    mb(size),
    kernel === undefined ? undefined : gib(kernel),
    ms(scan),
    ms(cpu),
    String(faults),
    ...beside(times.sum),
    ...beside(times.drgn),
    mb(anon + shmem),
    mb(file),
  );
}

/** Prints how fast each search goes through an image, by processor time: it is one thread's. */
function measureSearch({ name, path }: Row): void {
  using image = openImage(path);
  const speeds = Object.entries(SEARCHES).map(([what, patterns]) => {
    const seconds = Array.from({ length: 3 }, () => {
      const before = cpuUsage();
      image.search(patterns);
      const { user, system } = cpuUsage(before);
      return (user + system) / 1e6;
    });
    return `${what} ${(image.size / 2 ** 30 / median(seconds)).toFixed(1)}`;
  });
  print(`search of ${name}, GiB/s of a core: ${speeds.join(", ")}`);
}

const start = Array.from({ length: RUNS }, () => time(PROGRAM, ["--version"]));
print(`iouring --version: ${ms(median(start))}, file ${mb(statSync(PROGRAM).size)}`);
const [load = 0] = Deno.loadavg();
print(
  `medians of ${RUNS} runs in turns, or ${FEW_RUNS} of the largest, ${navigator.hardwareConcurrency} CPUs, load ${
    load.toFixed(1)
  }\n`,
);

/** The rows of an image of the lab, by the end of its path, or a new row. */
function rowsOf(path: string): readonly Row[] {
  const known = LAB.filter((row) => row.path.endsWith(`/${path}`));
  return known.length > 0 ? known : [{ name: path.split("/").slice(-2).join("/"), path }];
}

const rows = Deno.args.length === 0 ? LAB : Deno.args.flatMap(rowsOf);
const notes: string[] = [];
line(
  "image",
  "size",
  "kernel at",
  "scan",
  "cpu",
  "faults",
  "sha256sum",
  "scan/",
  "drgn",
  "scan/",
  "own",
  "mapped",
);
for (const row of rows) {
  try {
    const missing = row.drgn === undefined ? undefined : drgnMissing(row.drgn);
    if (missing !== undefined) notes.push(`drgn is left out: ${missing}`);
    await measure(row, missing === undefined);
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    const gone = (error as NodeJS.ErrnoException).code === "ENOENT";
    const how = row.lab === undefined ? "" : `: deno task lab ${row.lab}`;
    print(`${row.name.padEnd(36)}  ${gone ? `there is no such image${how}` : error.message}`);
  }
}
print(`\nscan/ is its time over that of the command before; a dash is what was not run:`);
print(`sha256sum of files beyond ${gib(SUM_ONCE)}, drgn without a VMCOREINFO note and paging`);
print("own is RssAnon + RssShmem, mapped is RssFile, with the program's own file");
for (const note of notes) print(note);
const full = rows.find(({ path }) => path.endsWith(`/${FULL_RAW}`));
if (full !== undefined && existsSync(full.path)) measureSearch(full);
