/**
 * Whether files of symbols and types are of the kernel in an image. A System.map or raw BTF does not
 * say what kernel it is of, so the image has to: what is there and does not agree speaks against a
 * file, what cannot be read says nothing.
 *
 * @module
 */

import { untilNul } from "../uapi/text.ts";
import type { AddressSpace } from "./address_space.ts";
import { Btf } from "./btf.ts";
import { buildIdOf } from "./build_id.ts";
import { findInitTask, findSwapperNames } from "./init_task.ts";
import type { GivenSymbols, GivenTypes } from "./kernel_files.ts";
import { BrokenList, listForEachEntry } from "./lists.ts";
import { MemoryFault } from "./memory_fault.ts";
import { AbsentError, type KernelObject, type Program } from "./program.ts";
import {
  KERNEL_IMAGE_END,
  KERNEL_IMAGE_START,
  type KernelSymbols,
  type LinkedSymbols,
} from "./symbols.ts";
import type { Vmcoreinfo } from "./vmcoreinfo.ts";

const BANNER = "Linux version ";
const BANNER_BYTES = new TextEncoder().encode(BANNER);
const MAX_BANNER = 512;
/** The banner is in the image twice or so: as it is linked, and in the log. */
const MOST_BANNERS = 256;
/** The image is moved by multiples of this at least (CONFIG_PHYSICAL_ALIGN). */
const SLIDE_STEP = 2n * 1024n * 1024n;
/** What a search costs of a `ReadBudget`. */
const UNITS_PER_SEARCH = 256;

/** Where something lies in an image by which the symbols of a file can be placed. */
export interface Anchor {
  readonly symbol: string;
  readonly address: bigint;
}

/** What VMCOREINFO says, and everything in the kernel's image that reads like its banner. */
export function findAnchors(space: AddressSpace, vmcoreinfo: Vmcoreinfo | undefined): Anchor[] {
  const anchors: Anchor[] = [];
  const stext = vmcoreinfo?.symbol("_stext");
  if (stext !== undefined) anchors.push({ symbol: "_stext", address: stext });
  for (const { start, length, physical } of space.mappings(KERNEL_IMAGE_START, KERNEL_IMAGE_END)) {
    if (!space.budget.spend(UNITS_PER_SEARCH)) break;
    const within = { start: physical, end: physical + length, limit: MOST_BANNERS };
    const [hits = []] = space.physical.search([{ bytes: BANNER_BYTES }], within);
    for (const hit of hits) {
      anchors.push({ symbol: "linux_banner", address: start + BigInt(hit - physical) });
    }
  }
  return anchors;
}

/** The kernel's banner at an address, without its newline; undefined where there is none. */
export function readBanner(space: AddressSpace, address: bigint): string | undefined {
  const text = LATIN1.decode(untilNul(space.readUpTo(address, MAX_BANNER)));
  return text.startsWith(BANNER) ? text.trimEnd() : undefined;
}

/** Why a file that has a banner is not of the image's kernel; undefined where it may be. */
export function whyNotItsBanner(
  space: AddressSpace,
  given: GivenSymbols,
  anchors: readonly Anchor[],
): string | undefined {
  const found = anchors.find(({ symbol }) => symbol === "linux_banner");
  if (given.banner === undefined || found === undefined) return undefined;
  return differenceOf(given.banner, readBanner(space, found.address) ?? "");
}

function differenceOf(given: string, banner: string): string | undefined {
  if (given === banner) return undefined;
  return `it is for ${JSON.stringify(given)}, the image has ${JSON.stringify(banner)}`;
}

/** By how much the kernel may have been moved from where a file has its symbols. */
export function possibleSlides(symbols: LinkedSymbols, anchors: readonly Anchor[]): Set<bigint> {
  const slides = new Set<bigint>();
  for (const { symbol, address } of anchors) {
    for (const linked of symbols.addressesOf(symbol)) {
      if ((address - linked) % SLIDE_STEP === 0n) slides.add(address - linked);
    }
  }
  return slides;
}

/** Symbols whose places in two builds of a kernel are hardly the same. */
const KNOWN_SYMBOLS = [
  "_stext",
  "_etext",
  "schedule",
  "do_exit",
  "kfree",
  "vfs_read",
  "io_uring_release",
  "init_task",
  "init_uts_ns",
  "init_mm",
  "swapper_pg_dir",
  "__start_BTF",
];

/** No task takes more bytes. */
const MAX_TASK = 64n * 1024n;

/**
 * Why symbols of a file are not those of the kernel in an image; undefined where nothing speaks
 * against them.
 *
 * @param own The kernel's own symbols, where they can be read.
 */
export function whyNotItsSymbols(
  space: AddressSpace,
  symbols: KernelSymbols,
  { given, banner, vmcoreinfo, own }: {
    given: GivenSymbols;
    banner: string;
    vmcoreinfo: Vmcoreinfo | undefined;
    own: KernelSymbols | undefined;
  },
): string | undefined {
  const difference = given.banner === undefined ? undefined : differenceOf(given.banner, banner);
  if (difference !== undefined) return difference;
  for (const name of KNOWN_SYMBOLS) {
    const address = symbols.lookup(name);
    const noted = vmcoreinfo?.symbol(name) ?? own?.lookup(name);
    if (address === undefined || noted === undefined) continue;
    if (symbols.lookupAll(name).includes(noted)) continue;
    return `${name} is at 0x${noted.toString(16)}, not at 0x${address.toString(16)}`;
  }
  const task = symbols.lookup("init_task");
  const names = task === undefined ? [] : [...findSwapperNames(space)];
  const isIn = (name: bigint) => name >= task! && name < task! + MAX_TASK;
  if (names.length > 0 && !names.some(isIn)) return "init_task is not where the first task is";
  return undefined;
}

/** What the first task, which is linked into the kernel, points to. */
const FIRST_TASK: readonly (readonly [member: string, symbol: string])[] = [
  ["files", "init_files"],
  ["fs", "init_fs"],
  ["nsproxy", "init_nsproxy"],
  ["signal", "init_signals"],
  ["sighand", "init_sighand"],
  ["real_cred", "init_cred"],
];

/** Caches of the kernel's allocator, each named after the structs that are allocated from it. */
const CACHES: ReadonlyMap<string, string> = new Map([
  ["io_kiocb", "io_kiocb"],
  ["task_group", "task_group"],
  ["files_cache", "files_struct"],
  ["fs_cache", "fs_struct"],
  ["signal_cache", "signal_struct"],
  ["sighand_cache", "sighand_struct"],
  ["vm_area_struct", "vm_area_struct"],
  ["filp", "file"],
  ["dentry", "dentry"],
  ["inode_cache", "inode"],
  ["proc_inode_cache", "proc_inode"],
  ["kernfs_node_cache", "kernfs_node"],
  ["nsproxy", "nsproxy"],
  ["uts_namespace", "uts_namespace"],
  ["mnt_cache", "mount"],
]);

const MOST_CACHES = 4096;

/**
 * Why types of a file are not those of the kernel in an image; undefined where nothing speaks
 * against them.
 */
export function whyNotItsTypes(
  program: Program,
  given: GivenTypes,
  vmcoreinfo: Vmcoreinfo | undefined,
): string | undefined {
  const buildId = vmcoreinfo?.value("BUILD-ID") ?? buildIdInMemory(program);
  if (given.buildId !== undefined && buildId !== undefined) {
    return given.buildId === buildId
      ? undefined
      : `its build id is ${given.buildId}, the image has ${buildId}`;
  }
  const { symbols } = program;
  const start = symbols.lookup("__start_BTF");
  const stop = symbols.lookup("__stop_BTF");
  if (given.types instanceof Btf && start !== undefined && stop !== undefined) {
    const size = Number(stop - start);
    if (size !== given.types.size) {
      return `its types take ${given.types.size} bytes, those of the image ${size}`;
    }
  }
  return evidence(() => whyNotItsFirstTask(program)) ?? evidence(() => whyNotItsCaches(program));
}

/** What cannot be read because the image does not hold it speaks neither for nor against. */
function evidence(check: () => string | undefined): string | undefined {
  try {
    return check();
  } catch (error) {
    if (error instanceof BrokenList) return undefined;
    if (error instanceof AbsentError) return error.message;
    if (!(error instanceof MemoryFault)) throw error;
    return error.reason === "not_in_image" ? undefined : `its types lead astray: ${error.message}`;
  }
}

function buildIdInMemory({ memory, symbols }: Program): string | undefined {
  const start = symbols.lookup("__start_notes");
  const stop = symbols.lookup("__stop_notes");
  if (start === undefined || stop === undefined || stop < start) return undefined;
  try {
    return buildIdOf(memory.read(start, Number(stop - start)));
  } catch (error) {
    if (!(error instanceof MemoryFault)) throw error;
    return undefined;
  }
}

function whyNotItsFirstTask(program: Program): string | undefined {
  const task = findInitTask(program);
  if (task === undefined) return "by its types there is no first task";
  const comm = LATIN1.decode(task.text("comm"));
  if (comm !== "swapper/0" && comm !== "swapper") {
    return `by its types the first task is called ${JSON.stringify(comm)}`;
  }
  const first = task.addressOf("tasks");
  if (
    task.number("pid") !== 0 || task.pointer("real_parent") !== task.address ||
    program.memory.readPointer(task.pointer("tasks.next") + 8n) !== first
  ) return "by its types the first task has another pid, parent or successor";
  for (const [member, symbol] of FIRST_TASK) {
    const expected = program.symbols.lookup(symbol);
    if (expected !== undefined && task.pointer(member) !== expected) {
      return `by its types the first task's ${member} is not ${symbol}`;
    }
  }
  return undefined;
}

function whyNotItsCaches(program: Program): string | undefined {
  const head = program.symbols.lookup("slab_caches");
  if (head === undefined || !program.has("kmem_cache", "object_size")) return undefined;
  const entry = { type: "kmem_cache", member: "list", limit: MOST_CACHES };
  for (const cache of listForEachEntry(program, head, entry)) {
    const [name, size] = cacheOf(cache);
    const type = CACHES.get(name);
    const struct = type === undefined ? undefined : program.types.struct(type);
    if (struct !== undefined && struct.size !== size) {
      return `by its types struct ${type} has ${struct.size} bytes, in the image ${size}`;
    }
  }
  return undefined;
}

/** Name and size of what a cache holds; no name where caches were merged and it holds several. */
function cacheOf(cache: KernelObject): [name: string, size: number] {
  if (cache.has("refcount") && cache.number("refcount") !== 1) return ["", 0];
  const name = LATIN1.decode(untilNul(cache.string("name")));
  return [name, cache.number("object_size")];
}

const LATIN1 = new TextDecoder("latin1");
