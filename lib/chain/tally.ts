import type { Classification, Severity, StreamRecord } from "../record/records.ts";
import { severityRank } from "../config/rule.ts";

/** Processes that are told apart; a stream may name more, and memory stays bounded. */
const MAX_PROCESSES = 65_536;

/** Counts what passed, for the line that ends every run. */
export class Tally {
  #rings = 0;
  #events = 0;
  #suspicious = 0;
  #leftOut = 0;
  /** What the stream is of, as far as it has told. */
  #kind: "record" | "ring" | "event" = "record";
  #lost = 0;
  #incomplete = false;
  #severity: Severity | undefined;
  readonly #pids = new Set<unknown>();
  #lastPid: unknown;

  /** Counts a record that passed. */
  add(record: StreamRecord): void {
    if (record.type === "IOUringEvent") {
      return this.addEvent(record.process?.pid, record.classification || undefined);
    }
    if (record.type !== "IOUringStatus" && record.classification) {
      this.#weigh(record.classification);
    }
    switch (record.type) {
      case "IOUringEntry":
        this.#rings++;
        this.#see(record.pid);
        if (record.bypasses_seccomp || record.classification?.suspicious) this.#suspicious++;
        break;
      case "IOUringResult":
      case "IOUringRegister":
        if (record.classification?.suspicious) this.#suspicious++;
        break;
      case "IOUringStatus":
        if (record.phase === "start" && record.coverage) {
          this.#kind = record.coverage.image === undefined ? "event" : "ring";
        }
        if (record.phase === "end") {
          if (record.complete === false) this.#incomplete = true;
          if (typeof record.totals?.lost === "number") this.#lost += record.totals.lost;
        }
    }
  }

  /** Counts an event that passed. */
  addEvent(pid: unknown, classification: Classification | undefined): void {
    this.#events++;
    this.#see(pid);
    if (classification === undefined) return;
    this.#weigh(classification);
    if (classification.suspicious) this.#suspicious++;
  }

  #weigh({ severity }: Classification): void {
    if (severityRank(severity) > severityRank(this.#severity)) this.#severity = severity;
  }

  /** The highest severity of what passed, if any rule fired. */
  get severity(): Severity | undefined {
    return this.#severity;
  }

  /** Counts records of one type that were left out. */
  leaveOut(type: StreamRecord["type"], count: number): void {
    this.#leftOut += count;
    if (count === 0) return;
    if (type !== "IOUringEntry") this.#kind = "event";
    else if (this.#kind === "record") this.#kind = "ring";
  }

  /** `3 rings in 2 processes, 1 suspicious`, and what else there is to say. */
  summary(): string {
    const records = [
      ...(this.#rings > 0 ? [count(this.#rings, "ring")] : []),
      ...(this.#events > 0 ? [count(this.#events, "event")] : []),
    ].join(" and ") || count(0, this.#kind);
    const over = this.#pids.size === MAX_PROCESSES ? "at least " : "";
    const parts = [
      `${records} in ${over}${count(this.#pids.size, "process", "processes")}`,
      `${this.#suspicious} suspicious`,
    ];
    if (this.#leftOut > 0) parts.push(`${this.#leftOut} filtered out`);
    if (this.#lost > 0) parts.push(`${this.#lost} lost`);
    if (this.#incomplete) parts.push("incomplete");
    return parts.join(", ");
  }

  /** Remembers a process; pid 0 is a ring whose process is not known. */
  #see(pid: unknown): void {
    // Most records are of the process of the one before.
    if (pid === this.#lastPid) return;
    this.#lastPid = pid;
    if (typeof pid === "number" && pid !== 0 && this.#pids.size < MAX_PROCESSES) {
      this.#pids.add(pid);
    }
  }
}

/** `1 ring`, `2 rings`. */
export function count(number: number, one: string, many = `${one}s`): string {
  return `${number} ${number === 1 ? one : many}`;
}
