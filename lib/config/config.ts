import { type Document, LineCounter, type Node, parseDocument } from "yaml";
import { UNKNOWN_ID } from "../record/records.ts";
import { configError, type Problem } from "./config_error.ts";
import { boolean, integer, list, mapping, text, Walk } from "./schema.ts";

/** Largest config, in bytes. */
export const CONFIG_LIMIT = 1024 * 1024;

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

/** A validated config. */
export interface Config {
  readonly process_filter?: ProcessFilterConfig;
}

/** A config, and what its author should hear about it. */
export interface ParsedConfig {
  readonly config: Config;
  readonly warnings: readonly Problem[];
}

const ID_LIST = list(integer({ min: 0, max: UNKNOWN_ID }));

const absolute = (path: string) =>
  path.startsWith("/") ? undefined : `Path ${JSON.stringify(path)} does not start with "/"`;

const CONFIG = mapping<Config>({
  process_filter: mapping<ProcessFilterConfig>({
    deny_list: boolean,
    uid: ID_LIST,
    euid: ID_LIST,
    auid: ID_LIST,
    binary: mapping<BinaryConfig>({
      name: list(text({
        maxBytes: 32,
        check: (name) =>
          name.includes("/")
            ? `Name ${JSON.stringify(name)} has a "/" in it, use path or prefix`
            : undefined,
      })),
      path: list(text({ maxBytes: 4095, check: absolute })),
      prefix: list(text({ maxBytes: 255, check: absolute })),
    }),
  }),
}, { aliases: { process_fiter: "process_filter" } });

/**
 * Reads a config.
 *
 * @param bytes The YAML file's content.
 * @param name The file as the user gave it, for messages.
 * @throws {ConfigError} With every problem that was found.
 */
export function parseConfig(bytes: Uint8Array, name: string): ParsedConfig {
  let source: string;
  try {
    source = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    const lossy = new TextDecoder().decode(bytes);
    const before = lossy.slice(0, lossy.indexOf("\ufffd")).split("\n");
    const problem = {
      message: "Expected UTF-8 text, found other bytes",
      line: before.length,
      column: before.at(-1)!.length + 1,
    };
    throw configError(name, [problem], lossy);
  }
  const lines = new LineCounter();
  const document = parseDocument(source, {
    lineCounter: lines,
    prettyErrors: false,
    // Checked with our own message; the library compares every key with every other.
    uniqueKeys: false,
    // Tells 1 from 1.0, and keeps large ids exact.
    intAsBigInt: true,
  }) as Document;
  const walk = new Walk(document, lines);
  const syntax = [...document.errors, ...document.warnings];
  // The library nests as deep as the stack and reports its end among the errors.
  const deepest = syntax.find(({ message }) => message.includes("call stack"));
  const problems = deepest === undefined
    ? syntax.map(({ code, message, pos }) => {
      // The library's own words tell the caller which function to use.
      const what = code === "MULTIPLE_DOCS" ? "Expected one document, found another" : message;
      return walk.at(pos[0], `Not a YAML config: ${what}`);
    })
    : [walk.at(deepest.pos[0], "Not a YAML config: Nested too deeply")];
  if (problems.length > 0) throw configError(name, problems, source);
  const config = walk.read(document.contents as Node | null, CONFIG);
  if (walk.errors.length > 0 || config === undefined) {
    throw configError(name, walk.errors, source);
  }
  return { config, warnings: walk.warnings };
}
