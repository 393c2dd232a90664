import {
  CST,
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  Lexer,
  LineCounter,
  type Node,
  parseDocument,
} from "yaml";
import type { JsonObject } from "../uapi/json_value.ts";
import { configError, type Problem } from "./config_error.ts";
import { EVENT_FILTER, type EventFilterConfig } from "./event_filter.ts";
import { PROCESS_FILTER, type ProcessFilterConfig } from "./process_filter.ts";
import { CLASSIFIER, type ClassifierConfig } from "./rule.ts";
import { RULES } from "./rules.ts";
import { mapping, quote, unknownWord, Walk } from "./schema.ts";

/** Largest config, in bytes. */
export const CONFIG_LIMIT = 1024 * 1024;
/** Deepest nesting of brackets. The library takes gigabytes where it is deep, and no config is. */
const MAX_DEPTH = 100;
/** Words and signs of one config: the library takes up to a kilobyte for each. */
const MAX_TOKENS = 2 ** 18;
/** Tokens that the library puts in between and that stand for no text. */
const MARKS = new Set([CST.DOCUMENT, CST.FLOW_END, CST.SCALAR]);

/** Space, ends of lines and comments. */
const BLANK = /^(?:\s|#|$)/;

/** A validated config. */
export interface Config {
  readonly process_filter?: ProcessFilterConfig;
  readonly event_filter?: EventFilterConfig;
  readonly classifier?: ClassifierConfig;
}

/** A config, and what its author should hear about it. */
export interface ParsedConfig {
  readonly config: Config;
  readonly warnings: readonly Problem[];
}

const CONFIG = mapping<Config>({
  process_filter: PROCESS_FILTER,
  event_filter: EVENT_FILTER,
  classifier: CLASSIFIER,
}, { aliases: { process_fiter: "process_filter" } });

/** The JSON Schema (draft 2020-12) of a config, for editors. */
export const CONFIG_SCHEMA: JsonObject = {
  $schema: "https://json-schema.org/draft/2020-12/schema",
  title: "Config of iouring",
  ...CONFIG.schema,
};

/**
 * Reads a config.
 *
 * @param bytes The YAML file's content.
 * @param name The file as the user gave it, for messages.
 * @throws {ConfigError} With every problem that was found.
 */
export function parseConfig(bytes: Uint8Array, name: string): ParsedConfig {
  const errorAt = (offset: number, message: string, text: string) => {
    const before = text.slice(0, offset).split("\n");
    const place = { line: before.length, column: before.at(-1)!.length + 1 };
    return configError(name, [{ message, ...place }], text);
  };
  let source: string;
  try {
    source = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    const lossy = new TextDecoder().decode(bytes);
    throw errorAt(lossy.indexOf("\ufffd"), "Expected UTF-8 text, found other bytes", lossy);
  }
  const excess = findExcess(source);
  if (excess !== undefined) {
    throw errorAt(excess.offset, `Not a YAML config: ${excess.message}`, source);
  }
  const lines = new LineCounter();
  const document = parseYaml(source, lines);
  const walk = new Walk(document, lines);
  const syntax = [...document.errors, ...document.warnings];
  // The library nests as deep as the stack and reports its end among the errors.
  const deepest = syntax.find(({ message }) => message.includes("call stack"));
  // What is missing at the end is shown there, not on the empty line after it.
  const end = source.trimEnd().length;
  const problems = deepest === undefined
    ? syntax.map(({ code, message, pos }) => {
      // The library's own words tell the caller which function to use.
      const what = code === "MULTIPLE_DOCS" ? "Expected one document, found another" : message;
      return walk.at(Math.min(pos[0], end), `Not a YAML config: ${what}`);
    })
    : [walk.at(deepest.pos[0], "Not a YAML config: Nested too deeply")];
  if (problems.length > 0) throw configError(name, problems, source);
  const config = walk.read(document.contents as Node | null, CONFIG);
  checkRuleIds(document, walk);
  if (walk.errors.length > 0 || config === undefined) {
    const inOrder = walk.errors.toSorted((a, b) => a.line - b.line || a.column - b.column);
    throw configError(name, inOrder, source);
  }
  return { config, warnings: walk.warnings };
}

/** Where a config begins to be more than the library should be given. */
function findExcess(source: string): { offset: number; message: string } | undefined {
  let [offset, depth, tokens] = [0, 0, 0];
  for (const token of new Lexer().lex(source)) {
    if (token === "[" || token === "{") depth++;
    else if (token === "]" || token === "}") depth = Math.max(0, depth - 1);
    if (depth > MAX_DEPTH) return { offset, message: "Nested too deeply" };
    if (MARKS.has(token)) continue;
    // Every escape may be a mistake of its own.
    if (!BLANK.test(token)) tokens += token.startsWith('"') ? token.split("\\").length : 1;
    if (tokens > MAX_TOKENS) {
      return { offset, message: `More than ${MAX_TOKENS} words and signs` };
    }
    offset += token.length;
  }
  return undefined;
}

function parseYaml(source: string, lineCounter: LineCounter): Document {
  const { stackTraceLimit } = Error;
  // An error is made for every mistake; nobody sees where in the library.
  Error.stackTraceLimit = 0;
  try {
    return parseDocument(source, {
      lineCounter,
      prettyErrors: false,
      // Checked with our own message; the library compares every key with every other.
      uniqueKeys: false,
      // Tells 1 from 1.0, and keeps large ids exact.
      intAsBigInt: true,
    }) as Document;
  } finally {
    Error.stackTraceLimit = stackTraceLimit;
  }
}

/** Reports ids that no rule has, and rules that have the same one. What is no text is reported already. */
function checkRuleIds(document: Document, walk: Walk): void {
  const known = new Set(RULES.map(({ id }) => id));
  const resolved = (node: unknown) => isAlias(node) ? node.resolve(document) : node;
  const nodeAt = (key: string) => resolved(document.getIn(["classifier", key], true));
  const itemsAt = (key: string) => {
    const list = nodeAt(key);
    return isSeq(list) ? list.items.map(resolved) : [];
  };
  for (const rule of itemsAt("rules")) {
    const id = isMap(rule) ? rule.get("id", true) : undefined;
    if (!isScalar(id) || typeof id.value !== "string") continue;
    if (known.has(id.value)) walk.error(id, `Rule ${quote(id.value)} is there already`);
    known.add(id.value);
  }
  const severity = nodeAt("severity");
  const graded = isMap(severity) ? severity.items.map(({ key }) => key) : [];
  for (const id of [...itemsAt("disable"), ...graded]) {
    if (!isScalar(id) || typeof id.value !== "string" || known.has(id.value)) continue;
    walk.error(id, unknownWord("rule", id.value, [...known]));
  }
}
