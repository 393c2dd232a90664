/**
 * The VM lab: boots a Debian kernel with a workload of io_uring rings and
 * dumps its memory.
 *
 * `deno task lab [KERNEL…] [--paging 4|5] [--memory MIB] [--vmcoreinfo]
 * [--append WORDS] [--fresh]`
 *
 * @module
 */

import { parseArgs } from "node:util";
import { fetchKernel, LAB_KERNELS, LabUnavailableError } from "./kernels.ts";
import { Guest } from "./qemu.ts";
import { CommandError, run } from "./run.ts";
import { type LabTruth, parseTruth } from "./truth.ts";

/** What to dump. */
export interface LabOptions {
  /** A name of `LAB_KERNELS`. */
  kernel: string;
  /** Levels of the page tables; 5 unless told. */
  paging?: 4 | 5;
  /** RAM in MiB; 512 unless told. */
  memory?: number;
  /** Give the guest a vmcoreinfo device, so that the ELF has its note. */
  vmcoreinfo?: boolean;
  /** More words for the kernel's command line, such as `pti=on`. */
  append?: string;
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
const CACHE = `${HERE}/../../.cache/lab`;
const SOURCES = ["workload.c", "ring.c", "ring.h", "init.sh", "lab.ts", "qemu.ts"];

/** Bytes from 0 to the end of RAM: above 3 GiB the rest lies beyond 4 GiB. */
function physicalEnd(memory: number): number {
  const mib = 2 ** 20;
  return memory <= 3072 ? memory * mib : (memory - 3072 + 4096) * mib;
}

function dumpName(options: LabOptions): string {
  let name = `${options.kernel}-${(options.paging ?? 5) === 5 ? "la57" : "4level"}`;
  if (options.memory !== undefined && options.memory !== 512) name += `-${options.memory}m`;
  if (options.vmcoreinfo) name += "-vmcoreinfo";
  if (options.append) name += `-${options.append.replace(/[^a-z0-9]+/gi, "_")}`;
  return name;
}

async function digest(parts: (string | Uint8Array)[]): Promise<string> {
  const bytes = await new Blob(parts as BlobPart[]).arrayBuffer();
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return hash.toHex();
}

/** Compiles the workload and packs it with busybox into an initramfs. */
async function makeInitrd(dir: string, root: string, args: string): Promise<string> {
  const tree = `${dir}/initrd`;
  await Deno.remove(tree, { recursive: true }).catch(() => {});
  await Deno.mkdir(`${tree}/bin`, { recursive: true });
  await Deno.mkdir(`${tree}/modules`);
  const busybox = (await run("sh", ["-c", "command -v busybox || true"])).trim();
  if (busybox === "") {
    throw new LabUnavailableError("Cannot run a guest: busybox-static is not installed");
  }
  await Deno.copyFile(busybox, `${tree}/bin/busybox`);
  await Deno.copyFile(`${HERE}/init.sh`, `${tree}/init`);
  await Deno.chmod(`${tree}/init`, 0o755);
  await Deno.writeTextFile(`${tree}/workload.args`, args);
  await run("gcc", [
    "-O1",
    "-static",
    "-Wall",
    "-Wextra",
    "-Wno-format-truncation",
    "-o",
    `${tree}/bin/workload`,
    `${HERE}/workload.c`,
    `${HERE}/ring.c`,
  ]);
  // The module that hands the kernel's VMCOREINFO to QEMU's device.
  const found = await run("find", [root, "-name", "qemu_fw_cfg.ko*"]);
  for (const module of found.trim().split("\n").filter((line) => line)) {
    const name = `${tree}/modules/${module.split("/").at(-1)}`;
    await Deno.copyFile(module, name);
    if (name.endsWith(".xz")) await run("xz", ["-d", name]);
  }
  const initrd = `${dir}/initrd.cpio`;
  await run("sh", [
    "-c",
    `cd "$1" && find . | cpio -o -H newc --quiet -R 0:0 > "$2"`,
    "sh",
    tree,
    initrd,
  ]);
  await Deno.remove(tree, { recursive: true });
  return initrd;
}

/**
 * Dumps a guest, or finds the dump of an earlier call with the same kernel,
 * workload and options.
 *
 * Throws a `LabUnavailableError` where the machine lacks what it takes.
 */
export async function labDump(options: LabOptions): Promise<LabDump> {
  const kernel = LAB_KERNELS.find((k) => k.name === options.kernel);
  if (!kernel) {
    const names = LAB_KERNELS.map((k) => k.name).join(" ");
    throw new LabUnavailableError(
      `Cannot get kernel "${options.kernel}": it is not one of ${names}`,
    );
  }
  await Deno.mkdir(CACHE, { recursive: true });
  const cache = await Deno.realPath(CACHE);
  const dir = `${cache}/${dumpName(options)}`;
  const { paging = 5, memory = 512, vmcoreinfo = false, append = "" } = options;

  const fetched = await fetchKernel(kernel, cache);
  const sources = [];
  for (const file of SOURCES) sources.push(await Deno.readFile(`${HERE}/${file}`));
  const key = await digest([
    JSON.stringify([fetched.version, paging, memory, vmcoreinfo, append]),
    ...sources,
  ]);
  const files = {
    dir,
    elf: `${dir}/guest.elf`,
    paging: `${dir}/guest.paging.elf`,
    raw: `${dir}/guest.raw`,
  };
  const known = await Deno.readTextFile(`${dir}/key`).catch(() => "");
  if (known === key && !options.fresh) {
    return { ...files, truth: JSON.parse(await Deno.readTextFile(`${dir}/truth.json`)) };
  }

  await Deno.remove(dir, { recursive: true }).catch(() => {});
  await Deno.mkdir(dir, { recursive: true });
  const initrd = await makeInitrd(dir, fetched.root, "");
  const guest = await Guest.start({
    dir,
    vmlinuz: fetched.vmlinuz,
    initrd,
    paging,
    memory,
    vmcoreinfo,
    append,
  });
  let truth;
  try {
    truth = parseTruth(await guest.waitFor("READY", 240));
    await guest.command("stop");
    await guest.command("dump-guest-memory", { paging: false, protocol: `file:${files.elf}` });
    await guest.command("dump-guest-memory", { paging: true, protocol: `file:${files.paging}` });
    await guest.command("pmemsave", { val: 0, size: physicalEnd(memory), filename: files.raw });
  } finally {
    await guest.quit();
  }
  await Deno.writeTextFile(`${dir}/truth.json`, JSON.stringify(truth, null, 1) + "\n");
  await Deno.writeTextFile(`${dir}/key`, key);
  return { ...files, truth };
}

function say(text: string): void {
  Deno.stderr.writeSync(new TextEncoder().encode(text + "\n"));
}

async function main(args: string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: {
      paging: { type: "string" },
      memory: { type: "string" },
      vmcoreinfo: { type: "boolean" },
      append: { type: "string" },
      fresh: { type: "boolean" },
    },
  });
  const kernels = positionals.length > 0 ? positionals : ["6.1", "6.12"];
  const pagings: (4 | 5)[] = values.paging === undefined ? [5, 4] : [values.paging === "4" ? 4 : 5];
  let code = 0;
  for (const kernel of kernels) {
    for (const paging of pagings) {
      try {
        const dump = await labDump({
          kernel,
          paging,
          ...(values.memory === undefined ? {} : { memory: Number(values.memory) }),
          ...(values.vmcoreinfo === undefined ? {} : { vmcoreinfo: values.vmcoreinfo }),
          ...(values.append === undefined ? {} : { append: values.append }),
          ...(values.fresh === undefined ? {} : { fresh: values.fresh }),
        });
        const { rings, skipped, errors } = dump.truth;
        say(`${dump.dir}: ${rings.length} rings, ${skipped.length} skipped`);
        for (const error of errors) say(`  ${JSON.stringify(error)}`);
        if (errors.length > 0) code = 1;
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
