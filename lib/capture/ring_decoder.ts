import type { FoundBy, IOUringEntry, RingOwner, SeccompBlock } from "../record/records.ts";
import { setupFlagNames } from "../uapi/ring_flags.ts";
import { classifyIoUring } from "../uapi/seccomp_bypass.ts";
import type { BootClock } from "./clock.ts";
import type { ProcessTable } from "./process_table.ts";
import { SectionReader } from "./sections.ts";
import type { Wire } from "./wire.ts";

/** Rings that are told of while those that were there before are listed. */
const MAX_RINGS = 65_536;

/** What a record says of the queues, by the same names as the entry. */
const QUEUE_KEYS = ["sq_head", "sq_tail", "cq_head", "cq_tail", "dropped", "overflow"] as const;

/**
 * Makes entries of what is said of rings. A new one has its entry at once; one that was there before
 * is told of by each of its owners and routes, which are gathered until the list is finished.
 */
export class RingDecoder {
  readonly #wire: Wire;
  readonly #clock: BootClock;
  readonly #sections: SectionReader;
  readonly #entries = new Map<string, IOUringEntry>();
  /** Rings that were made while the others were listed, which the list may name again. */
  readonly #created = new Set<string>();
  #listing = true;

  constructor(wire: Wire, clock: BootClock) {
    this.#wire = wire;
    this.#clock = clock;
    this.#sections = new SectionReader(wire);
  }

  /** Takes the ring record at `at`; the entry of a ring that was just made. */
  add(view: DataView, at: number, processes: ProcessTable): IOUringEntry | undefined {
    const wire = this.#wire;
    const end = at + view.getUint16(at + wire.at("record.size"), true);
    const u32 = (name: string) => view.getUint32(at + wire.at(`ring_record.${name}`), true);
    const ctx = `0x${view.getBigUint64(at + wire.at("record.ring"), true).toString(16)}`;
    const nameAt = at + wire.at("record.process");
    const pid = u32("pid");
    const thread = processes.block(
      view.getUint32(nameAt, true),
      view.getUint32(nameAt + 4, true),
      u32("tid"),
      pid,
    );
    const comm = thread.process.comm ?? "";
    const owner: RingOwner = {
      pid,
      comm,
      fd: view.getInt32(at + wire.at("ring_record.fd"), true),
    };
    const foundBy: FoundBy = u32("found_by") === wire.at("FOUND_BY_CREATE")
      ? "create"
      : u32("found_by") === wire.at("FOUND_BY_REGISTERED")
      ? "registered"
      : u32("found_by") === wire.at("FOUND_BY_TCTX")
      ? "tctx"
      : "fd";
    const valid = (bit: string) => (view.getUint16(validAt, true) & wire.at(bit)) !== 0;
    const validAt = at + wire.at("ring_record.valid");
    const seccomp: SeccompBlock | undefined = valid("RING_SECCOMP")
      ? {
        mode: view.getUint8(at + wire.at("record.seccomp_mode")),
        filters: view.getUint16(at + wire.at("ring_record.seccomp_filters"), true),
      }
      : undefined;
    const known = foundBy === "create" ? undefined : this.#entries.get(ctx);
    if (known !== undefined) {
      const { owners = [], found_by = [] } = known;
      const same = owners.find((one) =>
        one.pid === pid && (one.fd === owner.fd || one.fd < 0 || owner.fd < 0)
      );
      if (same === undefined) owners.push(owner);
      else if (same.fd < 0) same.fd = owner.fd;
      if (!found_by.includes(foundBy)) found_by.push(foundBy);
      strengthen(known, seccomp);
      return undefined;
    }
    if (foundBy !== "create") {
      if (this.#entries.size >= MAX_RINGS || this.#created.has(ctx)) return undefined;
    }
    const pending = this.#sections.read(view, at + wire.size("ring_record"), end)
      .find(({ kind }) => kind === wire.at("SECTION_PENDING"));
    const entry: IOUringEntry = {
      type: "IOUringEntry",
      pid,
      comm,
      ctx_addr: ctx,
      sq_entries: u32("sq_entries"),
      cq_entries: u32("cq_entries"),
      pending_opcodes: [...pending?.bytes ?? []],
      bypasses_seccomp: false,
      seccomp_active: false,
      process: thread.process,
      setup_flags: setupFlagNames(u32("flags")),
    };
    if (foundBy === "create") {
      const timeAt = at + wire.at("record.time");
      entry.created_at = this.#clock.text(
        view.getUint32(timeAt, true),
        view.getUint32(timeAt + 4, true),
      );
    }
    if (valid("RING_CREATOR")) entry.creator_uid = u32("creator_uid");
    entry.owners = [owner];
    entry.found_by = [foundBy];
    if (valid("RING_QUEUES")) {
      for (const key of QUEUE_KEYS) entry[key] = u32(key);
    }
    if (valid("RING_SQ_THREAD")) {
      entry.sq_thread = {
        pid: u32("sq_pid"),
        tid: u32("sq_tid"),
        cpu: view.getInt32(at + wire.at("ring_record.sq_cpu"), true),
      };
    }
    const missing = [
      ...(valid("RING_PENDING") ? [] : ["pending_opcodes"]),
      ...thread.missing ?? [],
    ];
    if (missing.length > 0) entry.missing = missing;
    if (seccomp !== undefined) entry.seccomp = seccomp;
    if (thread.unverified !== undefined) entry.unverified = thread.unverified;
    if (foundBy !== "create") {
      this.#entries.set(ctx, entry);
      return undefined;
    }
    this.#entries.delete(ctx);
    if (this.#listing && this.#created.size < MAX_RINGS) this.#created.add(ctx);
    judge(entry);
    return entry;
  }

  /** Leaves out a ring of our own. */
  hide(ctx: string): void {
    this.#entries.delete(ctx);
  }

  /** The rings that were there before; all of them have been told of. */
  finishList(): IOUringEntry[] {
    const entries = [...this.#entries.values()];
    for (const entry of entries) judge(entry);
    this.#entries.clear();
    this.#created.clear();
    this.#listing = false;
    return entries;
  }
}

/** Takes the seccomp of one more owner, where it is the stronger one. */
function strengthen(entry: IOUringEntry, seccomp: SeccompBlock | undefined): void {
  if (seccomp === undefined) return;
  const { mode, filters } = entry.seccomp ?? { mode: -1, filters: -1 };
  if (seccomp.mode > mode || (seccomp.mode === mode && seccomp.filters > filters)) {
    entry.seccomp = seccomp;
  }
}

/**
 * Says what seccomp means for a ring, once all its owners are known. What it did before the capture
 * is not: that it goes round a filter can be found, that it does not only while it is new.
 */
function judge(entry: IOUringEntry): void {
  const { seccomp, found_by = [], pending_opcodes } = entry;
  const mode = seccomp?.mode ?? 0;
  entry.seccomp_active = mode !== 0;
  entry.bypasses_seccomp = classifyIoUring(pending_opcodes, mode);
  const missing: string[] = [];
  if (!entry.bypasses_seccomp && (seccomp === undefined || mode !== 0)) {
    if (seccomp === undefined || !found_by.includes("create")) missing.push("bypasses_seccomp");
  }
  if (seccomp === undefined) missing.push("seccomp_active");
  else if (mode === 2 && seccomp.filters === 0) missing.push("seccomp.filters");
  if (missing.length > 0) entry.missing = [...missing, ...entry.missing ?? []];
}
