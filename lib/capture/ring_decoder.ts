import type { FoundBy, IOUringEntry, RingOwner } from "../record/records.ts";
import { setupFlagNames } from "../uapi/ring_flags.ts";
import type { BootClock } from "./clock.ts";
import type { ProcessTable } from "./process_table.ts";
import type { Wire } from "./wire.ts";

/** Rings that are gathered between two calls of take(). */
const MAX_RINGS = 65_536;

/** Gathers what is said of rings, of one from each of its owners, into one entry a ring. */
export class RingDecoder {
  readonly #wire: Wire;
  readonly #clock: BootClock;
  readonly #entries = new Map<string, IOUringEntry>();
  #hidden = "";

  constructor(wire: Wire, clock: BootClock) {
    this.#wire = wire;
    this.#clock = clock;
  }

  /** Takes the ring record at `at`. */
  add(view: DataView, at: number, processes: ProcessTable): void {
    const wire = this.#wire;
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
    const known = this.#entries.get(ctx);
    if (known !== undefined) {
      const { owners = [], found_by = [] } = known;
      if (!owners.some((one) => one.pid === pid && one.fd === owner.fd)) owners.push(owner);
      if (!found_by.includes(foundBy)) found_by.push(foundBy);
      return;
    }
    if (this.#entries.size >= MAX_RINGS) return;
    const mode = view.getUint8(at + wire.at("record.seccomp_mode"));
    const entry: IOUringEntry = {
      type: "IOUringEntry",
      pid,
      comm,
      ctx_addr: ctx,
      sq_entries: u32("sq_entries"),
      cq_entries: u32("cq_entries"),
      pending_opcodes: [],
      bypasses_seccomp: false,
      seccomp_active: mode !== 0,
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
    entry.owners = [owner];
    entry.found_by = [foundBy];
    entry.seccomp = {
      mode,
      filters: view.getUint16(at + wire.at("ring_record.seccomp_filters"), true),
    };
    if (thread.missing.length > 0) entry.missing = [...thread.missing];
    if (thread.unverified.length > 0) entry.unverified = [...thread.unverified];
    this.#entries.set(ctx, entry);
  }

  /** Leaves out a ring of our own. */
  hide(ctx: string): void {
    this.#hidden = ctx;
  }

  /** The entries gathered so far, each handed out once. */
  take(): IOUringEntry[] {
    this.#entries.delete(this.#hidden);
    const entries = [...this.#entries.values()];
    this.#entries.clear();
    return entries;
  }
}
