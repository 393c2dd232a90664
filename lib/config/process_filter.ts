import { UNKNOWN_ID } from "../record/records.ts";
import { ABSOLUTE_PATH, ABSOLUTE_PREFIX } from "./event_filter.ts";
import { boolean, integer, list, mapping, quote, text } from "./schema.ts";

/** Which executables. The lists are alternatives; an empty or absent one is no condition. */
export interface BinaryConfig {
  /** Names without a directory, at most 32 bytes each. */
  readonly name?: readonly string[];
  /** Whole paths, at most 4095 bytes each. */
  readonly path?: readonly string[];
  /** Beginnings of paths, at most 255 bytes each. */
  readonly prefix?: readonly string[];
}

/** Which processes. An empty or absent list is "any". */
export interface ProcessFilterConfig {
  /** True turns the whole filter round. */
  readonly deny_list?: boolean;
  /** Real user ids. */
  readonly uid?: readonly number[];
  /** Effective user ids. */
  readonly euid?: readonly number[];
  /** Login user ids; 4294967295 is a process that nobody logged in for. */
  readonly auid?: readonly number[];
  readonly binary?: BinaryConfig;
}

const ID = integer({ min: 0, max: UNKNOWN_ID });

const NAME = text({
  maxBytes: 32,
  check: (name) =>
    name.includes("/") ? `Name ${quote(name)} has a "/" in it, use path or prefix` : undefined,
  schema: { pattern: "^[^/]+$" },
});

export const PROCESS_FILTER = mapping<ProcessFilterConfig>({
  deny_list: boolean("True turns the whole round"),
  uid: list(ID, "Real user ids"),
  euid: list(ID, "Effective user ids"),
  auid: list(ID, "Login user ids; 4294967295 is nobody"),
  binary: mapping<BinaryConfig>({
    name: list(NAME, "Names of executables, without a directory"),
    path: list(ABSOLUTE_PATH, "Paths of executables"),
    prefix: list(ABSOLUTE_PREFIX, "Beginnings of the paths of executables"),
  }, { about: "name OR path OR prefix" }),
}, { about: "Which processes: uid AND euid AND auid AND binary; values in a list are OR" });
