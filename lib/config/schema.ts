import { type Document, isAlias, isMap, isScalar, isSeq, type LineCounter, type Node } from "yaml";
import type { Problem } from "./config_error.ts";
import { nearest } from "./nearest.ts";

/** An alias is looked up by walking the document; more of them than this are a bomb. */
const MAX_ALIASES = 100;

/**
 * Reads one value of the config.
 *
 * @param node The value; undefined for a key without one.
 * @param walk Takes the problems and knows the places.
 * @returns The value, or undefined after a problem was reported.
 */
export type Reader<T> = (node: Node | undefined, walk: Walk) => T | undefined;

/** A value that its keys may leave out. */
export type Fields<T> = { readonly [K in keyof T]: Reader<NonNullable<T[K]>> };

/** One pass over a YAML document that collects every problem. */
export class Walk {
  readonly errors: Problem[] = [];
  readonly warnings: Problem[] = [];
  readonly #document: Document;
  readonly #lines: LineCounter;
  #aliases = 0;
  /** Where the value that is being read begins, for values that are not there. */
  #offset = 0;

  constructor(document: Document, lines: LineCounter) {
    this.#document = document;
    this.#lines = lines;
  }

  /** Reports an error at a node, or where it should be. */
  error(node: Node | undefined, message: string): undefined {
    this.errors.push(this.#place(node, message));
  }

  warning(node: Node | undefined, message: string): void {
    this.warnings.push(this.#place(node, message));
  }

  /** The problem at a character offset. */
  at(offset: number, message: string): Problem {
    const { line, col } = this.#lines.linePos(offset);
    return { message, line: Math.max(line, 1), column: Math.max(col, 1) };
  }

  /** Reads `node` with `reader`, following an alias to what it stands for. */
  read<T>(node: Node | null | undefined, reader: Reader<T>): T | undefined {
    this.#offset = node?.range?.[0] ?? this.#offset;
    if (!isAlias(node)) return reader(node ?? undefined, this);
    if (++this.#aliases > MAX_ALIASES) {
      if (this.#aliases === MAX_ALIASES + 1) {
        this.error(node, `Too many aliases: at most ${MAX_ALIASES} are followed`);
      }
      return undefined;
    }
    const target = node.resolve(this.#document);
    if (target === undefined) return this.error(node, `Unknown anchor ${quote(node.source)}`);
    return reader(target, this);
  }

  #place(node: Node | undefined, message: string): Problem {
    return this.at(node?.range?.[0] ?? this.#offset, message);
  }
}

/**
 * A mapping with known keys. A key without a value counts as left out.
 *
 * @param fields The keys and what reads their values.
 * @param options `aliases`: other spellings that are accepted with a warning.
 */
export function mapping<T extends object>(
  fields: Fields<T>,
  options: { readonly aliases?: Readonly<Record<string, keyof T & string>> } = {},
): Reader<Partial<T>> {
  const aliases = new Map(Object.entries(options.aliases ?? {}));
  const known = new Map<string, Reader<unknown>>(Object.entries(fields));
  return (node, walk) => {
    if (isNothing(node)) return {};
    if (!isMap(node)) return walk.error(node, `Expected keys and values, found ${kindOf(node)}`);
    const result: Record<string, unknown> = {};
    /** The canonical key, and how it was spelled. */
    const seen = new Map<string, string>();
    for (const { key: keyNode, value } of node.items as { key: Node; value: Node | null }[]) {
      const spelled = isScalar(keyNode) ? String(keyNode.value) : undefined;
      if (spelled === undefined) {
        walk.error(keyNode, `Expected a key, found ${kindOf(keyNode)}`);
        continue;
      }
      const key = aliases.get(spelled) ?? spelled;
      const reader = known.get(key);
      const before = seen.get(key);
      seen.set(key, spelled);
      if (before !== undefined) {
        walk.error(
          keyNode,
          before === spelled
            ? `Duplicate key ${quote(spelled)}`
            : `Key ${quote(spelled)} stands for ${quote(key)}, and ${quote(before)} is there too`,
        );
        continue;
      }
      if (reader === undefined) {
        const near = nearest(spelled, known.keys());
        walk.error(
          keyNode,
          `Unknown key ${quote(spelled)}, ` +
            (near === undefined
              ? `known: ${[...known.keys()].join(", ")}`
              : `did you mean ${quote(near)}?`),
        );
        continue;
      }
      if (key !== spelled) {
        walk.warning(keyNode, `Key ${quote(spelled)} is read as ${quote(key)}`);
      }
      const read = walk.read(value, reader);
      if (read !== undefined) result[key] = read;
    }
    return result as Partial<T>;
  };
}

/** A list. A key without a value counts as an empty one. */
export function list<T>(item: Reader<T>): Reader<readonly T[]> {
  return (node, walk) => {
    if (isNothing(node)) return [];
    if (!isSeq(node)) return walk.error(node, `Expected a list, found ${kindOf(node)}`);
    const values: T[] = [];
    for (const child of node.items as Node[]) {
      const value = walk.read(child, item);
      if (value !== undefined) values.push(value);
    }
    return values;
  };
}

/** `true` or `false`. */
export const boolean: Reader<boolean> = (node, walk) =>
  isScalar(node) && typeof node.value === "boolean"
    ? node.value
    : walk.error(node, `Expected true or false, found ${kindOf(node)}`);

/** A whole number from `min` to `max`; the document is parsed with `intAsBigInt`. */
export function integer({ min, max }: { min: number; max: number }): Reader<number> {
  return (node, walk) => {
    if (!isScalar(node) || typeof node.value !== "bigint") {
      return walk.error(node, `Expected a whole number, found ${kindOf(node)}`);
    }
    if (node.value < min || node.value > max) {
      return walk.error(node, `Number ${clip(String(node.value))} is not from ${min} to ${max}`);
    }
    return Number(node.value);
  };
}

/** What a {@linkcode text} must be. */
export interface TextRules {
  /** Most bytes, as UTF-8. */
  readonly maxBytes: number;
  /** What is wrong with the text, or undefined. */
  readonly check?: (text: string) => string | undefined;
}

/** Text of at least one byte, without NUL. */
export function text({ maxBytes, check }: TextRules): Reader<string> {
  return (node, walk) => {
    if (!isScalar(node) || typeof node.value !== "string") {
      const hint = isScalar(node) && !isNothing(node) ? ", put it in quotes" : "";
      return walk.error(node, `Expected text, found ${kindOf(node)}${hint}`);
    }
    const { value } = node;
    if (value === "") return walk.error(node, "Text is empty, which matches nothing");
    if (value.includes("\0")) {
      return walk.error(node, "Text has a NUL in it, which matches nothing");
    }
    const bytes = new TextEncoder().encode(value).length;
    if (bytes > maxBytes) {
      return walk.error(
        node,
        `Text ${quote(clip(value))} is ${bytes} bytes, at most ${maxBytes} fit`,
      );
    }
    const wrong = check?.(value);
    return wrong === undefined ? value : walk.error(node, wrong);
  };
}

function isNothing(node: Node | undefined): boolean {
  return node === undefined || isScalar(node) && node.value === null;
}

/** What a node is, for a message. */
function kindOf(node: Node | undefined): string {
  if (isMap(node)) return "keys and values";
  if (isSeq(node)) return "a list";
  if (!isScalar(node) || node.value === null) return "nothing";
  const shown = typeof node.value === "string" ? quote(clip(node.value)) : String(node.value);
  return typeof node.value === "string" ? `text ${shown}` : clip(shown);
}

function quote(text: string): string {
  return JSON.stringify(clip(text));
}

/** Long text, shortened for a message. */
function clip(text: string): string {
  return text.length > 60 ? `${text.slice(0, 59)}…` : text;
}
