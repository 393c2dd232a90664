import type { Diagnostic, IOUringStatus } from "../record/records.ts";
import type { JsonObject } from "../uapi/json_value.ts";
import { opcodeName } from "../uapi/opcodes.ts";
import type { CaptureDevice } from "./capture_device.ts";
import type { Wire } from "./wire.ts";

/** Sums over all CPUs, by program. */
interface Sums {
  seen: number;
  filtered: number;
  seq: number;
  /** By opcode. */
  readonly lost: Map<number, number>;
  lostOther: number;
  readonly byPid: Map<number, number>;
}

/** Reads the kernel's counters of what did not fit, and says what is new since the last time. */
export class LossCounter {
  readonly #device: CaptureDevice;
  readonly #wire: Wire;
  readonly #programs: number;
  readonly #opcodes: number;
  #before: Sums = emptySums();
  #skippedBefore = 0;
  #otherBefore = 0;
  #total = 0;
  #other = 0;
  #filtered = 0;

  constructor(device: CaptureDevice, wire: Wire) {
    this.#device = device;
    this.#wire = wire;
    this.#programs = wire.at("PROGRAMS");
    this.#opcodes = wire.at("OPCODES");
  }

  /** Requests lost so far. */
  get total(): number {
    return this.#total;
  }

  /** Records of results, rings and registrations, and descriptions, lost so far. */
  get otherTotal(): number {
    return this.#other;
  }

  /** Requests that the kernel-side filter turned away so far. */
  get filtered(): number {
    return this.#filtered;
  }

  /** What was lost since the last call; undefined where nothing was. */
  since(timestamp: string): IOUringStatus | undefined {
    const sums = this.#read();
    const before = this.#before;
    this.#before = sums;
    this.#filtered = sums.filtered;
    let count = 0;
    const byOpcode: JsonObject = {};
    for (const [opcode, lost] of sums.lost) {
      const more = lost - (before.lost.get(opcode) ?? 0);
      if (more === 0) continue;
      count += more;
      const name = opcodeName(opcode);
      byOpcode[name] = Number(byOpcode[name] ?? 0) + more;
    }
    const skipped = this.#skipped();
    const preempted = skipped - this.#skippedBefore;
    this.#skippedBefore = skipped;
    const skippedOther = this.#skippedOther();
    const full = sums.lostOther - before.lostOther;
    const other = full + skippedOther - this.#otherBefore;
    this.#otherBefore = skippedOther;
    if (count === 0 && preempted <= 0 && other === 0) return undefined;
    this.#total += count + preempted;
    this.#other += other;
    const byPid: JsonObject = {};
    for (const [pid, lost] of sums.byPid) {
      const more = lost - (before.byPid.get(pid) ?? 0);
      if (more > 0) byPid[String(pid)] = more;
    }
    const lost: JsonObject = {
      count: count + preempted,
      reason: count === 0 && full === 0 ? "preempted" : "buffer_full",
    };
    if (preempted > 0 && count > 0) lost.preempted = preempted;
    if (other > 0) lost.descriptions = other;
    if (count > 0) {
      lost.by_opcode = byOpcode;
      lost.by_pid = byPid;
    }
    return { type: "IOUringStatus", phase: "lost", timestamp, lost };
  }

  /** Whether the numbers add up at the end: what was numbered has arrived or is counted as lost. */
  close(totals: { readonly arrived: number; readonly damaged: number }): Diagnostic[] {
    const diagnostics: Diagnostic[] = [];
    const sums = this.#read();
    let lost = 0;
    for (const count of sums.lost.values()) lost += count;
    const gone = sums.seq - totals.arrived - lost;
    if (gone > 0) {
      this.#total += gone;
      diagnostics.push({
        code: "records_vanished",
        message: `${gone} numbered requests neither arrived nor were counted as lost`,
        hides: "those requests; something may be taking records away",
      });
    }
    if (totals.damaged > 0) {
      diagnostics.push({
        code: "records_damaged",
        message: `${totals.damaged} records could not be decoded`,
      });
    }
    return diagnostics;
  }

  /** Runs that the kernel skipped and the second program did not make up for. */
  #skipped(): number {
    const first = this.#device.misses(this.#wire.at("PROGRAM_SUBMIT"));
    const recovered = this.#sum(this.#wire.at("PROGRAM_SUBMIT_AGAIN"), "seen");
    const failed = this.#device.misses(this.#wire.at("PROGRAM_FAILED"));
    return Math.max(0, first - recovered) + failed;
  }

  /** Runs that the kernel skipped of the programs that tell of anything but requests. */
  #skippedOther(): number {
    return ["COMPLETE", "OVERFLOW", "REGISTER", "CREATE"]
      .reduce((sum, name) => sum + this.#device.misses(this.#wire.at(`PROGRAM_${name}`)), 0);
  }

  #row(cpu: number, program: number): number {
    return (cpu * this.#programs + program) * (this.#wire.size("counters") / 8);
  }

  #sum(program: number, field: string): number {
    const at = this.#wire.at(`counters.${field}`) / 8;
    let sum = 0;
    for (let cpu = 0; cpu < this.#device.cpus; cpu++) {
      sum += Number(this.#device.counters[this.#row(cpu, program) + at]!);
    }
    return sum;
  }

  #read(): Sums {
    const { counters, cpus } = this.#device;
    const wire = this.#wire;
    const sums = emptySums();
    const at = (field: string) => wire.at(`counters.${field}`) / 8;
    const lostAt = at("lost");
    const pidsAt = at("lost_by_pid");
    const pids = wire.at("LOST_PIDS");
    for (let cpu = 0; cpu < cpus; cpu++) {
      for (let program = 0; program < this.#programs; program++) {
        const row = this.#row(cpu, program);
        sums.seen += Number(counters[row + at("seen")]!);
        sums.filtered += Number(counters[row + at("filtered")]!);
        sums.seq += Number(counters[row + at("seq")]!);
        sums.lostOther += Number(counters[row + at("lost_other")]!);
        for (let opcode = 0; opcode < this.#opcodes; opcode++) {
          const lost = Number(counters[row + lostAt + opcode]!);
          if (lost > 0) sums.lost.set(opcode, (sums.lost.get(opcode) ?? 0) + lost);
        }
        for (let slot = 0; slot < pids; slot++) {
          // pid in the lower half, count in the upper.
          const both = counters[row + pidsAt + slot]!;
          const pid = Number(both & 0xffffffffn);
          if (pid !== 0) sums.byPid.set(pid, (sums.byPid.get(pid) ?? 0) + Number(both >> 32n));
        }
      }
    }
    return sums;
  }
}

function emptySums(): Sums {
  return { seen: 0, filtered: 0, seq: 0, lost: new Map(), lostOther: 0, byPid: new Map() };
}
