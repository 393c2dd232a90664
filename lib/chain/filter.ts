import type { Config } from "../config/config.ts";
import type { Transform } from "./chain.ts";
import { processFilter } from "./process_filter.ts";
import { count } from "./tally.ts";

/** Types of the records that have a process to judge. All others pass. */
const JUDGED: ReadonlySet<string> = new Set([
  "IOUringEntry",
  "IOUringEvent",
  "IOUringRegister",
  "IOUringResult",
]);

/** A config's filter as a transform. */
export class Filter {
  readonly transform: Transform;
  #unreadable = 0;

  constructor(config: Config) {
    const judge = processFilter(config.process_filter ?? {});
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
      : `${count(this.#unreadable, "record")} filtered out because the process could not be read`;
  }
}
