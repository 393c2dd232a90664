import type { Config } from "../config/config.ts";
import type { Transform } from "./chain.ts";
import { eventFilter } from "./event_filter.ts";
import { processFilter, type Verdict } from "./process_filter.ts";
import { requestConditions } from "./request_filter.ts";
import { count } from "./tally.ts";

/** Types of the records that there is something to judge of. All others pass as they are. */
export const JUDGED: ReadonlySet<string> = new Set([
  "IOUringEntry",
  "IOUringEvent",
  "IOUringRegister",
  "IOUringResult",
]);

/** Judges one record, by its process and by its requests; it depends on nothing else. */
export type RecordFilter = (record: object) => Verdict;

/** Builds the filter of a config: `process_filter` AND `event_filter`. */
export function recordFilter(config: Config): RecordFilter {
  const byProcess = processFilter(config.process_filter ?? {});
  const byEvent = eventFilter(config.event_filter ?? {});
  return (record) => {
    const verdict = byProcess(record);
    if (verdict === "drop") return verdict;
    const event = byEvent(record);
    return event === "pass" ? verdict : event;
  };
}

/** A config's filter as a transform. */
export class Filter {
  readonly transform: Transform;
  /** Whether a process's events are left out, where all of it could be read. */
  readonly isLeftOut: (process: unknown) => boolean;
  /** Whether a process's events pass, where all of it could be read, whatever else they say. */
  readonly passesUnread: (process: unknown) => boolean;
  #unreadable = 0;

  constructor(config: Config) {
    const judge = recordFilter(config);
    const byProcess = processFilter(config.process_filter ?? {});
    const asksOfEvents = requestConditions(config.event_filter ?? {}).length > 0;
    this.isLeftOut = (process) => byProcess({ process }) === "drop";
    this.passesUnread = (process) => !asksOfEvents && byProcess({ process }) === "pass";
    this.transform = (record) => {
      if (!JUDGED.has(record.type)) return record;
      const verdict = judge(record);
      if (verdict === "unreadable") this.#unreadable++;
      return verdict === "pass" ? record : undefined;
    };
  }

  /** What the person should know about the records that were left out, if anything. */
  get warning(): string | undefined {
    return this.#unreadable === 0
      ? undefined
      : `${count(this.#unreadable, "record")} filtered out because what the config asks for ` +
        "could not be read";
  }
}
