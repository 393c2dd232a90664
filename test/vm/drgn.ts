/**
 * drgn with the kernel's debug information: an account of an image's rings that owes nothing to
 * `iouring scan`.
 *
 * @module
 */

import { existsSync } from "node:fs";
import { type Missing, need, succeeds } from "../command.ts";
import { debugFile } from "./kernels.ts";

/** The owner's process, and the descriptor or -1. */
export interface DrgnOwner {
  pid: number;
  fd: number;
}

/** One ring, as `drgn_rings.py` prints it. */
export interface DrgnRing {
  ctx_addr: string;
  sq_entries: number;
  cq_entries: number;
  /** Of the shared memory. */
  sq_head: number;
  sq_tail: number;
  cq_head: number;
  cq_tail: number;
  /** The kernel's own. */
  cached_sq_head: number;
  cached_cq_tail: number;
  /** `user_data` of the requests in the tables of what can be cancelled. */
  cancel_table: string[];
  owners: DrgnOwner[];
}

const CACHE = `${import.meta.dirname}/../../.cache/lab`;
/** Debian's, which has Debian's packages. */
const PYTHON = "/usr/bin/python3";

/** Why drgn cannot look at images of this kernel, and what to do; undefined where it can. */
export function drgnMissing(kernel: string): Missing {
  if (!existsSync(debugFile(kernel, CACHE))) {
    return `no debug files of ${kernel}: deno task lab --debug ${kernel}`;
  }
  return need(
    succeeds(PYTHON, "-c", "import drgn.helpers.linux"),
    "no drgn: apt-get install python3-drgn",
  );
}

/**
 * The command that lists the rings of an image.
 *
 * @param core An ELF core with a VMCOREINFO note and with paging.
 */
export function drgnCommand(kernel: string, core: string): [command: string, args: string[]] {
  const script = `${import.meta.dirname}/drgn_rings.py`;
  return [PYTHON, [script, debugFile(kernel, CACHE), core]];
}

/** The command that writes the symbols and types of a kernel as ISF. */
export function drgnIsfCommand(
  vmlinux: string,
  systemMap: string,
): [command: string, args: string[]] {
  return [PYTHON, [`${import.meta.dirname}/drgn_isf.py`, vmlinux, systemMap]];
}
