import type { PathConfig } from "../config/event_filter.ts";
import { type GlobToken, matchesGlob, parseGlob } from "../config/glob.ts";

/** A path of a request, in every form in which it may be matched. */
export interface MatchablePath {
  /**
   * As the request has it, and made plain where that is another text. Bytes that are not UTF-8 are
   * one character each, with `bytes` set.
   */
  readonly forms: readonly string[];
  readonly bytes: boolean;
}

interface Patterns {
  readonly exact: ReadonlySet<string>;
  readonly prefixes: readonly string[];
  readonly globs: readonly { readonly literal: string; readonly tokens: readonly GlobToken[] }[];
  /** First components of the paths that can match; undefined where any may. */
  readonly heads: ReadonlySet<string> | undefined;
}

/** Matches paths against `exact`, `prefix` and `glob` of a config. */
export class PathMatcher {
  readonly #text: Patterns;
  readonly #bytes: Patterns;

  constructor(config: PathConfig) {
    this.#text = patternsOf(config, (text) => text);
    this.#bytes = patternsOf(config, byteText);
  }

  /** Whether there is anything to match: an empty config is no condition. */
  static isCondition(config: PathConfig | undefined): config is PathConfig {
    return [config?.exact, config?.prefix, config?.glob].some((list) => (list?.length ?? 0) > 0);
  }

  matches({ forms, bytes }: MatchablePath): boolean {
    const patterns = bytes ? this.#bytes : this.#text;
    for (const form of forms) {
      if (matchesPatterns(patterns, form)) return true;
    }
    return false;
  }
}

/** UTF-8 bytes as characters, one each. */
function byteText(text: string): string {
  return latin1(new TextEncoder().encode(text));
}

/** Bytes as characters, one each. */
export function latin1(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return text;
}

function matchesPatterns({ exact, prefixes, globs, heads }: Patterns, path: string): boolean {
  if (heads !== undefined && !heads.has(headOf(path))) return false;
  if (exact.has(path)) return true;
  for (const prefix of prefixes) {
    if (path.startsWith(prefix)) return true;
  }
  for (const { literal, tokens } of globs) {
    if (path.startsWith(literal) && matchesGlob(tokens, path)) return true;
  }
  return false;
}

function patternsOf(config: PathConfig, form: (text: string) => string): Patterns {
  const exact = (config.exact ?? []).map(form);
  const prefixes = (config.prefix ?? []).map(form);
  const globs = (config.glob ?? []).map((glob) => {
    const tokens = parseGlob(form(glob));
    if (typeof tokens === "string") throw new SyntaxError(tokens);
    return { literal: literalOf(tokens), tokens };
  });
  const beginnings = [
    ...exact.map((path) => `${path}/`),
    ...prefixes,
    ...globs.map(({ literal }) => literal),
  ];
  // A beginning that ends within its first component may go on in many ways.
  const heads = beginnings.every((beginning) => /^\/[^/]*\//.test(beginning))
    ? new Set(beginnings.map(headOf))
    : undefined;
  return { exact: new Set(exact), prefixes, globs, heads };
}

/** What every match of a glob begins with. */
function literalOf(tokens: readonly GlobToken[]): string {
  let literal = "";
  for (const token of tokens) {
    if (token.kind !== "text") break;
    literal += token.text;
  }
  return literal;
}

function headOf(path: string): string {
  const end = path.indexOf("/", 1);
  return end < 0 ? path : path.slice(0, end);
}
