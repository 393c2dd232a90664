/**
 * The VM lab: boots a Debian kernel with a workload of io_uring rings and
 * dumps its memory.
 *
 * `deno task lab [KERNEL…] [--paging 4|5] [--memory MIB] [--cpus N] [--vmcoreinfo]
 * [--append WORDS] [--idle] [--smear | --sparse | --formats | --lime | --large] [--fresh]`, or with
 * `--debug` fetches the kernels' debug information and boots nothing
 *
 * @module
 */

import { parseArgs } from "node:util";
import { compareTruth, differenceText } from "./compare.ts";
import { fetchDebug, fetchKernel, kernelNamed } from "./kernels.ts";
import { buildLime } from "./lime.ts";
import { Guest } from "./qemu.ts";
import { CommandError, LabUnavailableError, run } from "./run.ts";
import { type LabTruth, parseTruth } from "./truth.ts";
import { buildWorkload } from "../live/workload.ts";

/** What to dump. */
export interface LabOptions {
  /** A name that `kernelNamed()` takes. */
  kernel: string;
  /** Levels of the page tables; 5 unless told. */
  paging?: 4 | 5;
  /** RAM in MiB; 512 unless told. */
  memory?: number;
  /** Processors; 1 unless told. */
  cpus?: number;
  /** Give the guest a vmcoreinfo device, so that the ELF has its note. */
  vmcoreinfo?: boolean;
  /** More words for the kernel's command line, such as `pti=on`. */
  append?: string;
  /** The guest makes no ring at all. */
  idle?: boolean;
  /** All RAM holds something when the guest boots, as after a warm start. */
  filled?: boolean;
  /** Boot again even if nothing has changed. */
  fresh?: boolean;
}

/** The files of one dump; all three images show the same paused guest. */
export interface LabDump {
  dir: string;
  /** `dump-guest-memory` without paging. */
  elf: string;
  /** `dump-guest-memory` with paging. */
  paging: string;
  /** `pmemsave` of the physical range from 0; the PCI hole is kept. */
  raw: string;
  truth: LabTruth;
}

const HERE = import.meta.dirname!;
const GUEST = `${HERE}/guest`;
const CACHE = `${HERE}/../../.cache/lab`;
/** Counted up when old dumps no longer serve. */
const FORMAT = 2;
/** Modules of the guest: VMCOREINFO for QEMU's device, and a disk to swap to. */
const MODULES = ["qemu_fw_cfg", "loop"];

/** QEMU's `pc` machine with so many MiB of RAM or more has a hole for PCI before 4 GiB. */
const WITH_HOLE = 3584;

/** Then so many MiB lie below the hole, and the rest lies beyond it. */
const BELOW_HOLE = 3072;

/** Bytes from 0 to the end of RAM. */
function physicalEnd(memory: number): number {
  const mib = 2 ** 20;
  return memory < WITH_HOLE ? memory * mib : (memory - BELOW_HOLE + 4096) * mib;
}

function dumpName(options: LabOptions): string {
  let name = `${options.kernel}-${(options.paging ?? 5) === 5 ? "la57" : "4level"}`;
  if (options.memory !== undefined && options.memory !== 512) name += `-${options.memory}m`;
  if (options.cpus !== undefined && options.cpus !== 1) name += `-${options.cpus}cpus`;
  if (options.vmcoreinfo) name += "-vmcoreinfo";
  if (options.append) name += `-${options.append.replace(/[^a-z0-9]+/gi, "_")}`;
  if (options.idle) name += "-idle";
  if (options.filled) name += "-filled";
  return name;
}

async function digest(parts: (string | Uint8Array)[]): Promise<string> {
  const bytes = await new Blob(parts as BlobPart[]).arrayBuffer();
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return hash.toHex();
}

/** What a guest runs. */
interface GuestProgram {
  args: string;
  /** A static executable; compiled from the guest's own sources where it is not given. */
  path?: string;
}

/** Packs a program with busybox into an initramfs. */
async function makeInitrd(
  dir: string,
  root: string,
  program: GuestProgram,
  atRest: AtRest | undefined,
): Promise<string> {
  const tree = `${dir}/initrd`;
  await Deno.mkdir(`${tree}/bin`, { recursive: true });
  await Deno.mkdir(`${tree}/modules`);
  const busybox = (await run("sh", ["-c", "command -v busybox || true"])).trim();
  if (busybox === "") {
    throw new LabUnavailableError("Cannot run a guest: busybox-static is not installed");
  }
  await Deno.copyFile(busybox, `${tree}/bin/busybox`);
  await Deno.copyFile(`${GUEST}/init.sh`, `${tree}/init`);
  await Deno.chmod(`${tree}/init`, 0o755);
  await Deno.writeTextFile(`${tree}/workload.args`, program.args);
  await Deno.writeFile(`${tree}/image`, ringPages());
  if (program.path === undefined) {
    const sources = (await guestSources()).filter((file) => file.endsWith(".c"));
    const flags = ["-O1", "-static", "-pthread", "-Wall", "-Wextra", "-Wno-format-truncation"];
    await run("gcc", [...flags, "-o", `${tree}/bin/workload`, ...sources]);
  } else {
    await Deno.copyFile(program.path, `${tree}/bin/workload`);
  }
  for (const name of MODULES) {
    const found = (await run("find", [root, "-name", `${name}.ko*`])).trim().split("\n")[0]!;
    if (found === "") continue;
    const file = `${tree}/modules/${found.split("/").at(-1)}`;
    await Deno.copyFile(found, file);
    if (file.endsWith(".xz")) await run("xz", ["-d", file]);
  }
  if (atRest !== undefined) await Deno.writeTextFile(`${tree}/at_rest`, atRest.script);
  for (const [name, path] of Object.entries(atRest?.files ?? {})) {
    await Deno.copyFile(path, `${tree}/${name}`);
  }
  const initrd = `${dir}/initrd.cpio`;
  // The first file does not begin a page of the archive, which lies in memory as well.
  const names = "{ echo ./image; find . ! -path ./image; }";
  const pack = `cd "$1" && ${names} | cpio -o -H newc --quiet -R 0:0 > "$2"`;
  await run("sh", ["-c", pack, "sh", tree, initrd]);
  await Deno.remove(tree, { recursive: true });
  return initrd;
}

/**
 * Pages of a file that could be of some image: each begins as the memory does that a ring shares with
 * its process (`struct io_rings` until Linux 6.5, and since). No guest has such a ring.
 */
function ringPages(): Uint8Array {
  const pages = new Uint8Array(2 * 4096);
  const wide = [0, 64, 128, 192, 256, 260, 264, 268, 320, 328];
  const compact = [0, 4, 8, 12, 16, 20, 24, 28, 64, 72];
  // Heads and tails, masks and sizes, and a completion.
  const values = [3, 3, 0, 3, 7, 15, 8, 16, 0x1abe1, 0];
  for (const [page, offsets] of [wide, compact].entries()) {
    const words = new DataView(pages.buffer, page * 4096);
    offsets.forEach((at, i) => words.setUint32(at, values[i]!, true));
  }
  return pages;
}

async function guestSources(): Promise<string[]> {
  const files = [];
  for await (const entry of Deno.readDir(GUEST)) files.push(`${GUEST}/${entry.name}`);
  return files.sort();
}

async function cachePath(): Promise<string> {
  await Deno.mkdir(CACHE, { recursive: true });
  return await Deno.realPath(CACHE);
}

/** How a guest is run, beside what it is. */
interface RunKind {
  /** The directory under the cache. */
  name: string;
  /** The workload's arguments. */
  args?: string;
  /** A static executable in place of the workload. */
  program?: string;
  /** Keep the guest's RAM in a sparse file `ram` of its directory. */
  ramFile?: boolean;
  /** What it does once the workload is at rest. */
  atRest?: AtRest;
}

/** What a guest does once the workload is at rest: it then says `DONE`. */
interface AtRest {
  /** Shell; what it writes to stdout is on the guest's second serial line. */
  script: string;
  /** Files to put into the root directory, by their names there. */
  files: Readonly<Record<string, string>>;
  /** An empty disk, `/dev/nvme0n1`, by the name of its file. */
  disk: string;
  /** In bytes. */
  diskSize: number;
}

/** Boots a guest, and hands it to `take` once the workload is at rest. */
async function withGuest(
  options: LabOptions,
  { name, args = "", program, ramFile = false, atRest }: RunKind,
  take: (guest: Guest, dir: string) => Promise<void>,
): Promise<{ dir: string; truth: LabTruth }> {
  const kernel = kernelNamed(options.kernel);
  const cache = await cachePath();
  // One guest at a time, also where two programs ask for one.
  using lock = await Deno.open(`${cache}/lock`, { write: true, create: true });
  await lock.lock(true);
  const dir = `${cache}/${name}`;
  const { paging = 5, memory = 512, cpus = 1, append = "" } = options;
  const { vmcoreinfo = false, filled = false } = options;

  const fetched = await fetchKernel(kernel, cache);
  const sources = [];
  const files = program === undefined ? await guestSources() : [`${GUEST}/init.sh`, program];
  files.push(...Object.values(atRest?.files ?? {}));
  for (const file of files) sources.push(await Deno.readFile(file));
  const settings = [
    FORMAT,
    fetched.version,
    paging,
    memory,
    cpus,
    vmcoreinfo,
    append,
    args,
    ramFile,
  ];
  if (atRest !== undefined) settings.push(atRest.script, atRest.diskSize, atRest.disk);
  const key = await digest([JSON.stringify(settings), ...sources]);
  const known = await Deno.readTextFile(`${dir}/key`).catch(() => "");
  if (known === key && !options.fresh) {
    return { dir, truth: JSON.parse(await Deno.readTextFile(`${dir}/truth.json`)) };
  }

  // Made beside the old dump and moved over it: a reader sees one or the other.
  const fresh = `${dir}.new`;
  await Deno.remove(fresh, { recursive: true }).catch(() => {});
  await Deno.mkdir(fresh, { recursive: true });
  const initrd = await makeInitrd(fresh, fetched.root, {
    args,
    ...(program === undefined ? {} : { path: program }),
  }, atRest);
  if (atRest !== undefined) {
    using disk = await Deno.create(`${fresh}/${atRest.disk}`);
    await disk.truncate(atRest.diskSize);
  }
  const { vmlinuz } = fetched;
  if (ramFile && filled) await fill(`${fresh}/ram`, memory * 2 ** 20);
  const guest = await Guest.start({
    dir: fresh,
    vmlinuz,
    initrd,
    paging,
    memory,
    cpus,
    vmcoreinfo,
    append,
    ...(atRest === undefined ? {} : { disk: `${fresh}/${atRest.disk}` }),
    ...(ramFile ? { ramFile: `${fresh}/ram` } : {}),
  });
  let truth;
  try {
    truth = parseTruth(await guest.waitFor("READY"));
    await take(guest, fresh);
  } finally {
    await guest.quit();
  }
  // Most of a guest's memory is zero, and need not lie on the disk.
  for await (const { name } of Deno.readDir(fresh)) {
    if (!filled && /\.(elf|raw)$/.test(name)) {
      await run("fallocate", ["--dig-holes", `${fresh}/${name}`]).catch(() => {});
    }
  }
  await Deno.writeTextFile(`${fresh}/truth.json`, JSON.stringify(truth, null, 1) + "\n");
  await Deno.writeTextFile(`${fresh}/key`, key);
  await Deno.remove(dir, { recursive: true }).catch(() => {});
  await Deno.rename(fresh, dir);
  return { dir, truth };
}

/**
 * Dumps a guest at rest, or finds the dump of an earlier call with the same
 * kernel, workload and options.
 *
 * Throws a `LabUnavailableError` where the machine lacks what it takes.
 */
export async function labDump(options: LabOptions): Promise<LabDump> {
  const end = physicalEnd(options.memory ?? 512);
  const { dir, truth } = await withGuest(
    options,
    { name: dumpName(options), args: options.idle ? "--idle" : "" },
    async (guest, dir) => {
      await guest.command("stop");
      await guest.dump(`${dir}/guest.elf`, false);
      await guest.dump(`${dir}/guest.paging.elf`, true);
      await guest.save(`${dir}/guest.raw`, end);
    },
  );
  return {
    dir,
    elf: `${dir}/guest.elf`,
    paging: `${dir}/guest.paging.elf`,
    raw: `${dir}/guest.raw`,
    truth,
  };
}

/** Dumps of one paused guest in the formats that QEMU writes. */
export interface LabFormats {
  dir: string;
  elf: string;
  raw: string;
  /** Flattened kdumps by compression: `zlib`, and `lzo` and `snappy` where QEMU was built for them. */
  kdump: Record<string, string>;
  truth: LabTruth;
}

/** How QEMU can compress a kdump. */
const KDUMP_COMPRESSIONS = ["zlib", "lzo", "snappy"];

/** Dumps a guest in every format that QEMU writes, with a VMCOREINFO note. */
export async function labFormats(options: LabOptions): Promise<LabFormats> {
  const end = physicalEnd(options.memory ?? 512);
  const withNote = { ...options, vmcoreinfo: true };
  const kdump = (dir: string, compression: string) => `${dir}/guest.kdump-${compression}`;
  const exists = (path: string) => Deno.stat(path).then(() => true, () => false);
  const { dir, truth } = await withGuest(
    withNote,
    { name: `${dumpName(withNote)}-formats` },
    async (guest, dir) => {
      await guest.command("stop");
      await guest.dump(`${dir}/guest.elf`, false);
      await guest.save(`${dir}/guest.raw`, end);
      for (const compression of KDUMP_COMPRESSIONS) {
        await guest.kdump(kdump(dir, compression), compression);
      }
    },
  );
  const written: Record<string, string> = {};
  for (const compression of KDUMP_COMPRESSIONS) {
    const file = kdump(dir, compression);
    if (await exists(file)) written[compression] = file;
  }
  return {
    dir,
    elf: `${dir}/guest.elf`,
    raw: `${dir}/guest.raw`,
    kdump: written,
    truth,
  };
}

/** Two raw images of one guest, as sparse as its memory. */
export interface LabSparse {
  dir: string;
  /** The PCI hole is kept: an offset is a physical address. */
  padded: string;
  /** The PCI hole is squeezed out. */
  squeezed: string;
  truth: LabTruth;
}

/** Dumps a guest of any size at the cost of the memory that it uses. */
export async function labSparse(options: LabOptions): Promise<LabSparse> {
  const { memory = 512 } = options;
  const { dir, truth } = await withGuest(
    options,
    { name: `${dumpName(options)}-sparse`, ramFile: true },
    async (guest, dir) => {
      await guest.command("stop");
      const ram = `${dir}/ram`;
      const padded = `${dir}/padded.raw`;
      const copy = [`if=${ram}`, `of=${padded}`, "bs=1M", "conv=sparse,notrunc", "status=none"];
      if (memory < WITH_HOLE) {
        await run("dd", copy);
      } else {
        await run("dd", [...copy, `count=${BELOW_HOLE}`]);
        await run("dd", [...copy, `skip=${BELOW_HOLE}`, "seek=4096"]);
      }
      await Deno.truncate(padded, physicalEnd(memory));
      await Deno.rename(ram, `${dir}/squeezed.raw`);
    },
  );
  return { dir, padded: `${dir}/padded.raw`, squeezed: `${dir}/squeezed.raw`, truth };
}

/** Memory of a guest in which the published tools have run, and what they said of it. */
export interface LabTools {
  dir: string;
  elf: string;
  /** `operations` alone is told. */
  truth: LabTruth;
}

/** Dumps a guest in which the published tools are running. */
export async function labTools(options: LabOptions): Promise<LabTools> {
  const program = await buildWorkload({ name: "published_tools", static: true });
  const { dir, truth } = await withGuest(
    options,
    { name: `${dumpName(options)}-tools`, args: "--guest", program },
    async (guest, dir) => {
      await guest.command("stop");
      await guest.dump(`${dir}/guest.elf`, false);
    },
  );
  return { dir, elf: `${dir}/guest.elf`, truth };
}

/** What LiME wrote of a guest that ran on, and what QEMU wrote of it then. */
export interface LabLime {
  dir: string;
  lime: string;
  elf: string;
  truth: LabTruth;
}

/** What lies in memory is not to change meanwhile. */
const LIME_SCRIPT = `
set -e
echo 0 > /proc/sys/vm/swappiness
# With a timeout, pages that a busy machine reads slowly would be left out.
insmod /lime.ko path=/dev/nvme0n1 format=lime timeout=0
sync
grep 'System RAM' /proc/iomem
`;

/** Dumps a guest with LiME's module, as it runs on, and then with QEMU. */
export async function labLime(options: LabOptions): Promise<LabLime> {
  const { kernel, memory = 512 } = options;
  const module = await limeModule(kernel);
  const { dir, truth } = await withGuest(
    options,
    {
      name: `${dumpName(options)}-lime`,
      atRest: {
        script: LIME_SCRIPT,
        files: { "lime.ko": module },
        disk: "lime.raw",
        // Headers beside all of memory.
        diskSize: (memory + 1) * 2 ** 20,
      },
    },
    async (guest, dir) => {
      const said = await guest.waitFor("DONE");
      await guest.command("stop");
      await guest.dump(`${dir}/guest.elf`, false);
      const ram = [...said.matchAll(/^\s*([0-9a-f]+)-([0-9a-f]+) : System RAM$/gm)]
        .map(([, start, last]) => ({ start: parseInt(start!, 16), end: parseInt(last!, 16) + 1 }));
      const written = ram.reduce((sum, { start, end }) => sum + LIME_HEADER + (end - start), 0);
      await Deno.truncate(`${dir}/lime.raw`, written);
    },
  );
  return { dir, lime: `${dir}/lime.raw`, elf: `${dir}/guest.elf`, truth };
}

/** Bytes before each range (LiME, doc/README.md). */
const LIME_HEADER = 32;

async function limeModule(name: string): Promise<string> {
  const kernel = kernelNamed(name);
  const cache = await cachePath();
  using lock = await Deno.open(`${cache}/lock`, { write: true, create: true });
  await lock.lock(true);
  return await buildLime(kernel, await fetchKernel(kernel, cache), cache);
}

/** Two images of one large guest: without any header, and with one that leads to the kernel. */
export interface LabLarge {
  dir: string;
  /** The PCI hole is squeezed out. */
  raw: string;
  /** With the state of QEMU's CPU, and with `vmcoreinfo` a note. */
  elf: string;
  truth: LabTruth;
}

/** Dumps a guest of any size, sparse, or with `filled` as large on the disk as in memory. */
export async function labLarge(options: LabOptions): Promise<LabLarge> {
  const { dir, truth } = await withGuest(
    options,
    { name: `${dumpName(options)}-large`, ramFile: true },
    async (guest, dir) => {
      await guest.command("stop");
      await guest.dump(`${dir}/guest.elf`, false);
      await Deno.rename(`${dir}/ram`, `${dir}/guest.raw`);
    },
  );
  return { dir, raw: `${dir}/guest.raw`, elf: `${dir}/guest.elf`, truth };
}

/** Fills a file with what memory is full of: programs, and data that does not repeat itself. */
async function fill(path: string, size: number): Promise<void> {
  const block = 2 ** 20;
  using program = await Deno.open(Deno.execPath());
  using target = await Deno.open(path, { write: true, createNew: true });
  const bytes = new Uint8Array(block);
  for (let at = 0; at < size; at += block) {
    if (at / block % 4 === 0) {
      for (let i = 0; i < block; i += 65536) crypto.getRandomValues(bytes.subarray(i, i + 65536));
    } else if (await program.read(bytes) === null) {
      await program.seek(0, Deno.SeekMode.Start);
    }
    for (let done = 0; done < block;) done += await target.write(bytes.subarray(done));
  }
}

/** Fetches the debug information of a lab kernel, and says where it is. */
export async function labDebug(name: string): Promise<string> {
  const kernel = kernelNamed(name);
  const cache = await cachePath();
  using lock = await Deno.open(`${cache}/lock`, { write: true, create: true });
  await lock.lock(true);
  return await fetchDebug(kernel, cache);
}

/** Three raw images of one busy guest. */
export interface LabSmear {
  dir: string;
  first: string;
  /** The same guest two seconds later. */
  second: string;
  /** Pages of the first and of the second, in turns of irregular length. */
  smeared: string;
  /** Of the busy rings only what stays true. */
  truth: LabTruth;
}

/** Dumps a busy guest twice and makes the image that a slow copy would be. */
export async function labSmear(options: LabOptions): Promise<LabSmear> {
  const end = physicalEnd(options.memory ?? 512);
  const { dir, truth } = await withGuest(
    options,
    { name: `${dumpName(options)}-smear`, args: "--busy" },
    async (guest, dir) => {
      await guest.command("stop");
      await guest.save(`${dir}/first.raw`, end);
      await guest.command("cont");
      await new Promise((resolve) => setTimeout(resolve, 2000));
      await guest.command("stop");
      await guest.save(`${dir}/second.raw`, end);
      await interleave(`${dir}/first.raw`, `${dir}/second.raw`, `${dir}/smeared.raw`);
    },
  );
  return {
    dir,
    first: `${dir}/first.raw`,
    second: `${dir}/second.raw`,
    smeared: `${dir}/smeared.raw`,
    truth,
  };
}

/** Writes `out` from pages of `first` and `second`, chosen by a fixed hash. */
async function interleave(first: string, second: string, out: string): Promise<void> {
  const chunk = 1 << 20;
  const page = 4096;
  const a = await Deno.open(first);
  const b = await Deno.open(second);
  const target = await Deno.open(out, { write: true, create: true, truncate: true });
  const { size } = await a.stat();
  const bytes = new Uint8Array(chunk);
  const other = new Uint8Array(chunk);
  for (let at = 0; at < size; at += chunk) {
    await readFully(a, bytes);
    await readFully(b, other);
    for (let offset = 0; offset < chunk; offset += page) {
      const frame = (at + offset) / page;
      if (Math.imul(frame, 0x9e3779b1) >= 0) continue;
      bytes.set(other.subarray(offset, offset + page), offset);
    }
    for (let done = 0; done < chunk;) done += await target.write(bytes.subarray(done));
  }
  for (const file of [a, b, target]) file.close();
}

async function readFully(file: Deno.FsFile, into: Uint8Array): Promise<void> {
  for (let done = 0; done < into.length;) {
    const n = await file.read(into.subarray(done));
    if (n === null) return;
    done += n;
  }
}

function say(text: string): void {
  Deno.stderr.writeSync(new TextEncoder().encode(text + "\n"));
}

const USAGE =
  "Usage: deno task lab [KERNEL…] [--paging 4|5] [--memory MIB] [--cpus N] [--vmcoreinfo] " +
  "[--append WORDS] [--idle] [--smear | --sparse | --formats | --lime | --large [--filled]] " +
  "[--fresh] | --debug [KERNEL…]";

/** What the command line asks for; undefined where it is not one. */
function parseCommandLine(args: string[]) {
  try {
    const { values, positionals } = parseArgs({
      args,
      allowPositionals: true,
      options: {
        paging: { type: "string" },
        memory: { type: "string" },
        cpus: { type: "string" },
        vmcoreinfo: { type: "boolean", default: false },
        append: { type: "string", default: "" },
        idle: { type: "boolean", default: false },
        smear: { type: "boolean", default: false },
        sparse: { type: "boolean", default: false },
        formats: { type: "boolean", default: false },
        lime: { type: "boolean", default: false },
        large: { type: "boolean", default: false },
        filled: { type: "boolean", default: false },
        fresh: { type: "boolean", default: false },
        debug: { type: "boolean", default: false },
      },
    });
    const { paging = "5", memory = "512", cpus = "1", ...others } = values;
    const { smear, sparse, formats, lime, large, debug, ...options } = others;
    if (!/^[45]$/.test(paging)) return undefined;
    if (![memory, cpus].every((count) => /^\d+$/.test(count))) return undefined;
    const kinds = [
      smear && labSmear,
      sparse && labSparse,
      formats && labFormats,
      lime && labLime,
      large && labLarge,
    ];
    const [make = labDump, ...more] = kinds.filter((kind) => kind !== false);
    if (more.length > 0 || options.filled && !large) return undefined;
    return {
      kernels: positionals.length > 0 ? positionals : ["6.1", "6.12"],
      pagings: values.paging === undefined ? [5, 4] as const : [Number(paging) as 4 | 5],
      debug,
      make,
      options: { ...options, memory: Number(memory), cpus: Number(cpus) },
      // Of a busy guest, what its processes said is out of date.
      atRest: !smear,
    };
  } catch {
    return undefined;
  }
}

async function main(args: string[]): Promise<number> {
  const asked = parseCommandLine(args);
  if (!asked) {
    say(USAGE);
    return 2;
  }
  let code = 0;
  for (const kernel of asked.kernels) {
    for (const paging of asked.pagings) {
      try {
        if (asked.debug) {
          say(await labDebug(kernel));
          break;
        }
        const dump = await asked.make({ kernel, paging, ...asked.options });
        const { rings, skipped, errors } = dump.truth;
        say(`${dump.dir}: ${rings.length} rings, ${skipped.length} skipped`);
        for (const error of errors) say(`  ${JSON.stringify(error)}`);
        const differences = asked.atRest ? compareTruth(dump.truth) : [];
        for (const difference of differences) say(`  ${differenceText(difference)}`);
        if (errors.length + differences.length > 0) code = 1;
      } catch (error) {
        if (!(error instanceof LabUnavailableError || error instanceof CommandError)) throw error;
        say(error.message);
        code = error instanceof LabUnavailableError ? 4 : 1;
      }
    }
  }
  return code;
}

if (import.meta.main) Deno.exit(await main(Deno.args));
