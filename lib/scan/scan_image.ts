import { type FoundKernel, reopenKernel } from "../kernel/find_kernel.ts";
import type { PageTableSource } from "../kernel/find_page_tables.ts";
import { findInitTask } from "../kernel/init_task.ts";
import { Kallsyms } from "../kernel/kallsyms.ts";
import type { KernelFiles } from "../kernel/kernel_files.ts";
import { SlidSymbols } from "../kernel/symbols.ts";
import { writeElfCore } from "../memory/elf_core_writer.ts";
import type { ImageFile } from "../memory/image_file.ts";
import { type OpenedMemory, openMemory } from "../memory/open_memory.ts";
import type { TellProgress } from "../memory/physical_memory.ts";
import { RecordingMemory } from "../memory/recording_memory.ts";
import type { IOUringEntry, IOUringStatus, StreamRecord } from "../record/records.ts";
import type { JsonObject } from "../uapi/json_value.ts";
import { Carver } from "./carve.ts";
import { readClock } from "./clock.ts";
import type { ScanContext } from "./context.ts";
import { Diagnostics, readable } from "./diagnostics.ts";
import {
  DEEP_ROUTES,
  findRings,
  findSubmitters,
  type FoundRing,
  ROUTES,
  servedProcesses,
} from "./find_rings.ts";
import { readTaskRequests } from "./kernel_requests.ts";
import { type OpenedKernel, openKernelOf } from "./open_kernel.ts";
import { remnantEntries, requestsByRing } from "./remnants.ts";
import { ringEntry } from "./ring_entry.ts";
import { listProcesses, processesByMemory } from "./tasks.ts";

/** What a scan needs beside the image. */
export interface ScanOptions {
  /** Wall clock of this machine, ms since 1970, for the stream's own timestamps. */
  now(): number;
  readonly tool: { readonly version: string; readonly build: string };
  readonly argv: readonly string[];
  /** Called as work goes on. */
  readonly progress?: TellProgress;
  /** Search all memory, for rings and tasks that no list leads to. */
  readonly deep?: boolean;
  /** What is used in place of the kernel's own symbols and types. */
  readonly files?: KernelFiles;
  /** Ways to find the page tables; all by default. */
  readonly sources?: readonly PageTableSource[];
  /** Takes an ELF core of the pages that the scan read, in pieces to be written in order. */
  readonly slice?: (pieces: Iterable<Uint8Array>) => void;
}

const CR4_LA57 = 1n << 12n;
/** Requests a batch, of which a ring counts for 64. */
const BATCH = 4096;

/**
 * Scans a memory image: a start record, an entry for each `io_ring_ctx`, an end record.
 *
 * @throws {ImageError} when the image cannot be read at all or has no kernel in it.
 * @throws {WrongKernelError | KernelFileError} when a file is of another kernel, or is damaged.
 */
export function* scanImage(image: ImageFile, options: ScanOptions): Generator<StreamRecord[]> {
  const started = options.now();
  const diagnostics = new Diagnostics();
  const opened = openMemory(image);
  for (const damage of opened.damage) {
    diagnostics.report("image_damaged", damage, "memory that the image does not hold");
  }
  let found = openKernelOf(image, opened, {
    diagnostics,
    progress: options.progress,
    ...(options.sources === undefined ? {} : { sources: options.sources }),
    ...(options.files === undefined ? {} : { files: options.files }),
  });
  const recorder = options.slice && new RecordingMemory(found.memory);
  if (recorder !== undefined) {
    found = { ...found, kernel: reopenKernel(recorder, found.kernel) };
  }
  const { kernel } = found;
  const { program } = kernel;
  for (const { code, message, hides } of kernel.damage) {
    if (hides === undefined) diagnostics.remark(code, message);
    else diagnostics.report(code, message, hides);
  }
  const present = program.types.struct("io_ring_ctx") !== undefined;
  yield [startRecord(image, { opened, found, present }, options)];

  let entries = 0;
  if (present) {
    const context: ScanContext = { program, clock: readClock(program), diagnostics };
    const carver = options.deep === true ? new Carver(context, options.progress) : undefined;
    const processes = listProcesses(context, carver?.tasks);
    const reached = findRings(context, processes, { deep: options.deep === true });
    const carved = carver?.rings(reached);
    if (carved !== undefined) findSubmitters(context, carved.rings, processes);
    const rings = inOrder([...reached, ...carved?.rings ?? []]);
    const taskRequests = readTaskRequests(context, processes);
    const opcodeNames = opcodesOf(kernel);
    const served = servedProcesses(rings);
    const bySpace = processesByMemory(processes);
    let batch: StreamRecord[] = [];
    let size = 0;
    for (const ring of rings) {
      if (program.memory.budget.isSpent) break;
      const ofTasks = taskRequests.get(ring.ctx.address) ?? [];
      const left = carved?.requests.get(ring.ctx.address) ?? [];
      const { own: carvedRequests } = requestsByRing(ring, left);
      const entry = ringEntry(
        { ring, taskRequests: ofTasks, carvedRequests, opcodeNames, served, bySpace },
        context,
      );
      batch.push(entry);
      size += 64 + requestCount(entry);
      entries++;
      options.progress?.(entries, rings.length, "of rings read");
      if (size >= BATCH) {
        yield batch;
        batch = [];
        size = 0;
      }
    }
    if (batch.length > 0) yield batch;
    if (entries < rings.length) {
      diagnostics.report(
        "rings_not_read",
        `${rings.length - entries} of ${rings.length} rings were found but not read`,
        "their entries",
      );
    }
    if (carved !== undefined) {
      for (const entry of remnantEntries(carved, rings, { opcodeNames, context })) {
        entries++;
        yield [entry];
      }
    }
  }
  if (recorder !== undefined) {
    options.slice!(writeElfCore(found.memory, recorder.recorded(), notesOf(kernel)));
  }
  if (program.memory.budget.isSpent) {
    diagnostics.report(
      "work_limit_reached",
      "reading stopped: structures lead to more than a kernel keeps in this much memory",
      "whatever was not read by then",
    );
  }
  const undecodable = opened.memory.undecodable ?? 0;
  if (undecodable > 0) {
    diagnostics.report(
      "image_damaged",
      `${undecodable} blocks of memory that were asked for are damaged or cannot be read`,
      "what they held",
    );
  }
  if (image.shrank) {
    diagnostics.report(
      "image_shrank",
      "the file became shorter while it was read; what it lost was read as zeros",
      "anything in the lost part",
    );
  }
  yield [{
    type: "IOUringStatus",
    phase: "end",
    timestamp: new Date(options.now()).toISOString(),
    totals: { entries },
    complete: !diagnostics.incomplete,
    duration_ms: Math.round(options.now() - started),
    ...(diagnostics.any ? { diagnostics: diagnostics.list() } : {}),
  }];
}

function startRecord(
  image: ImageFile,
  { opened, found, present }: { opened: OpenedMemory; found: OpenedKernel; present: boolean },
  { now, tool, argv, deep = false }: ScanOptions,
): IOUringStatus {
  const { kernel, layout } = found;
  const { program } = kernel;
  const host: JsonObject = { ...hostOf(kernel) };
  return {
    type: "IOUringStatus",
    phase: "start",
    timestamp: new Date(now()).toISOString(),
    host,
    tool: { ...tool },
    argv: [...argv],
    coverage: {
      image: {
        path: image.name,
        size: image.size,
        format: found.memory.format,
        ...(opened.wrapping.length === 0 ? {} : { wrapping: [...opened.wrapping] }),
        ...(layout === undefined ? {} : { layout }),
      },
      kernel: kernel.banner,
      page_tables: { found_by: kernel.pageTables, levels: program.memory.pageTable.levels },
      symbols: symbolsOf(kernel),
      types: typesOf(kernel),
      io_uring: present ? "present" : "absent",
      routes: present ? [...ROUTES, ...deep ? DEEP_ROUTES : []] : [],
      routes_not_run: present && !deep ? [...DEEP_ROUTES] : [],
    },
  };
}

/** How symbols were found. */
function symbolsOf({ program: { symbols }, symbols: { source }, files }: FoundKernel): JsonObject {
  return {
    found_by: source,
    ...(files.symbols === undefined ? {} : { file: files.symbols.file }),
    count: symbols.count,
    ...(symbols instanceof Kallsyms ? { encoding: symbols.encoding } : {}),
    ...(symbols instanceof SlidSymbols ? { slide: `0x${symbols.slide.toString(16)}` } : {}),
  };
}

/** How types were found. */
function typesOf({ program: { types }, types: source, files }: FoundKernel): JsonObject {
  return {
    found_by: source,
    ...(files.types === undefined ? {} : { file: files.types.file }),
    count: types.typeCount,
  };
}

/**
 * What leads to the kernel in a slice: the page tables that it was read through, and VMCOREINFO, which
 * may name others of the same kernel.
 */
function notesOf({ vmcoreinfo, program }: FoundKernel) {
  const { root, levels, smeMask } = program.memory.pageTable;
  return {
    cpus: [{ cr3: BigInt(root) | smeMask, cr4: levels === 5 ? CR4_LA57 : 0n }],
    ...(vmcoreinfo === undefined ? {} : { vmcoreinfo: vmcoreinfo.text }),
  };
}

/** Name, boot id and release of the imaged machine, as far as they can be read. */
function hostOf({ program, banner }: FoundKernel): JsonObject {
  const host: JsonObject = {};
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  const names = readable(() => {
    const namespace = program.variable("init_uts_ns", "uts_namespace") ??
      findInitTask(program)?.deref("nsproxy").derefAs("uts_ns", "uts_namespace");
    return namespace && {
      name: text(namespace.text("name.nodename")),
      kernel: text(namespace.text("name.release")),
    };
  });
  host["name"] = names?.name ?? "";
  const boot = readable(() => {
    const address = program.symbols.lookup("sysctl_bootid");
    return address === undefined ? undefined : program.memory.read(address, 16);
  });
  // It is made when it is first asked for.
  if (boot !== undefined && boot.some((byte) => byte !== 0)) {
    const hex = [...boot].map((byte) => byte.toString(16).padStart(2, "0")).join("");
    host["boot_id"] = hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
  }
  host["kernel"] = names?.kernel ?? /^Linux version (\S+)/.exec(banner)?.[1] ?? "";
  return host;
}

/** `IORING_OP_*` of the imaged kernel's own enum, by number. */
function opcodesOf({ program }: FoundKernel): ReadonlyMap<number, string> {
  const names = new Map<number, string>();
  for (const [name, number] of program.types.enumWith("IORING_OP_NOP") ?? []) {
    if (name !== "IORING_OP_LAST" && name.startsWith("IORING_OP_")) names.set(number, name);
  }
  return names;
}

function requestCount({ pending, in_flight, history }: IOUringEntry): number {
  return (pending?.length ?? 0) + (in_flight?.length ?? 0) + (history?.length ?? 0);
}

/** By the lowest pid that holds the ring, then by address: the same order for every image format. */
function inOrder(rings: readonly FoundRing[]): FoundRing[] {
  return rings.map((ring) => ({ ring, pid: lowestPid(ring) }))
    .sort((a, b) => a.pid - b.pid || (a.ring.ctx.address < b.ring.ctx.address ? -1 : 1))
    .map(({ ring }) => ring);
}

function lowestPid({ holders, submitters }: FoundRing): number {
  let lowest = Infinity;
  for (const { process } of holders) lowest = Math.min(lowest, process.pid);
  for (const { pid } of submitters) lowest = Math.min(lowest, pid);
  return lowest;
}
