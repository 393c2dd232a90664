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
  /** The first component of each form. */
  readonly heads: readonly string[];
}

const ENCODER = new TextEncoder();
const ASCII = /^\p{ASCII}*$/u;

interface Glob {
  /** What every match begins with. */
  readonly literal: string;
  /** What every match has somewhere after it: the longest text that the glob names. */
  readonly within: string;
  readonly tokens: readonly GlobToken[];
}

interface Patterns {
  readonly exact: ReadonlySet<string>;
  readonly prefixes: readonly string[];
  readonly globs: readonly Glob[];
}

/** Matches paths against `exact`, `prefix` and `glob` of a config. */
export class PathMatcher {
  readonly #config: PathConfig;
  // Each is made when a path first needs it: many rules never see one.
  #heads: { readonly any: ReadonlySet<string> | undefined } | undefined;
  #text: Patterns | undefined;
  #bytes: Patterns | undefined;

  constructor(config: PathConfig) {
    this.#config = config;
  }

  /** Whether there is anything to match: an empty config is no condition. */
  static isCondition(config: PathConfig | undefined): config is PathConfig {
    return [config?.exact, config?.prefix, config?.glob].some((list) => (list?.length ?? 0) > 0);
  }

  matches(path: MatchablePath): boolean {
    const { any } = this.#heads ??= { any: headsOf(this.#config) };
    if (any !== undefined && !hasHead(path, any)) return false;
    const patterns = path.bytes
      ? this.#bytes ??= patternsOf(this.#config, byteText)
      : this.#text ??= patternsOf(this.#config, (text) => text);
    return path.forms.some((form) => matchesPatterns(patterns, form));
  }
}

/**
 * First components of the paths that can match, as text and as bytes; undefined where any may, as
 * there is no condition or it may begin in many ways.
 */
export function headsOf(config: PathConfig | undefined): ReadonlySet<string> | undefined {
  if (!PathMatcher.isCondition(config)) return undefined;
  const beginnings = [
    ...(config.exact ?? []).map((path) => `${path}/`),
    ...config.prefix ?? [],
    ...(config.glob ?? []).map((glob) => /^[^*?[\\]*/.exec(glob)![0]),
  ];
  // A beginning that ends within its first component may go on in many ways.
  if (!beginnings.every((beginning) => /^\/[^/]*\//.test(beginning))) return undefined;
  const heads = beginnings.map(headOf);
  return new Set([...heads, ...heads.map(byteText)]);
}

/**
 * How all paths begin that match, and what they have somewhere behind that, of those that are text.
 * Paths of bytes may begin otherwise.
 */
export function beginningsOf(config: PathConfig): { text: string; within: string }[] {
  const { exact, prefixes, globs } = patternsOf(config, (text) => text);
  return [
    ...[...exact, ...prefixes].map((text) => ({ text, within: "" })),
    ...globs.map(({ literal, within }) => ({ text: literal, within })),
  ];
}

/** Whether one of a path's forms begins with one of these components. */
export function hasHead(path: MatchablePath, heads: ReadonlySet<string>): boolean {
  return path.heads.some((head) => heads.has(head));
}

/** UTF-8 bytes as characters, one each. */
function byteText(text: string): string {
  return ASCII.test(text) ? text : latin1(ENCODER.encode(text));
}

/** Bytes as characters, one each. */
export function latin1(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return text;
}

function matchesPatterns({ exact, prefixes, globs }: Patterns, path: string): boolean {
  if (exact.has(path)) return true;
  for (const prefix of prefixes) {
    if (path.startsWith(prefix)) return true;
  }
  for (const { literal, within, tokens } of globs) {
    if (path.startsWith(literal) && path.includes(within, literal.length)) {
      if (matchesGlob(tokens, path)) return true;
    }
  }
  return false;
}

function patternsOf(config: PathConfig, form: (text: string) => string): Patterns {
  const exact = (config.exact ?? []).map(form);
  const prefixes = (config.prefix ?? []).map(form);
  const globs = (config.glob ?? []).map((glob) => {
    const tokens = parseGlob(form(glob));
    if (typeof tokens === "string") throw new SyntaxError(tokens);
    const [literal = "", ...others] = literalsOf(tokens);
    const within = others.reduce((longest, it) => it.length > longest.length ? it : longest, "");
    return { literal, within, tokens };
  });
  return { exact: new Set(exact), prefixes, globs };
}

/** The texts between what a glob leaves open: first what every match begins with. */
function literalsOf(tokens: readonly GlobToken[]): string[] {
  const literals = [""];
  for (const token of tokens) {
    if (token.kind === "text") literals.push(literals.pop() + token.text);
    else literals.push("");
  }
  return literals;
}

/** The first component of a path, with the slash before it. */
export function headOf(path: string): string {
  const end = path.indexOf("/", 1);
  return end < 0 ? path : path.slice(0, end);
}
