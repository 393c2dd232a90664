import {
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  type LineCounter,
  type Node,
  type Scalar,
  type YAMLMap,
  type YAMLSeq,
} from "yaml";
import type { JsonObject } from "../uapi/json_value.ts";
import type { Problem } from "./config_error.ts";
import { nearest } from "./nearest.ts";

/** An alias is looked up by walking the document; more of them than this are a bomb. */
const MAX_ALIASES = 100;
/** Known words that a message lists. */
const MAX_LISTED = 16;

/** What one value of the config may be: how it is read, and how a JSON Schema says it. */
export interface Reader<T> {
  /**
   * Reads the value.
   *
   * @param node The value; undefined for a key without one.
   * @param walk Takes the problems and knows the places.
   * @returns The value, or undefined after a problem was reported.
   */
  read(node: Node | undefined, walk: Walk): T | undefined;
  readonly schema: JsonObject;
}

/** A value that its keys may leave out. */
export type Fields<T> = { readonly [K in keyof T]-?: Reader<NonNullable<T[K]>> };

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
    if (!isAlias(node)) return reader.read(node ?? undefined, this);
    if (++this.#aliases > MAX_ALIASES) {
      if (this.#aliases === MAX_ALIASES + 1) {
        this.error(node, `Too many aliases: at most ${MAX_ALIASES} are followed`);
      }
      return undefined;
    }
    const target = node.resolve(this.#document);
    if (target === undefined) return this.error(node, `Unknown anchor ${quote(node.source)}`);
    return reader.read(target, this);
  }

  #place(node: Node | undefined, message: string): Problem {
    return this.at(node?.range?.[0] ?? this.#offset, message);
  }
}

/** What a {@linkcode mapping} has beside its keys. */
export interface MappingOptions<T> {
  /** Other spellings that are accepted with a warning. */
  readonly aliases?: Readonly<Record<string, keyof T & string>>;
  /** Keys that cannot be left out. */
  readonly required?: readonly (keyof T & string)[];
  /** What it is, for the schema. */
  readonly about?: string;
  /** What is wrong with the whole, or undefined. */
  readonly check?: (value: T) => string | undefined;
}

/** A mapping with known keys. A key without a value counts as left out. */
export function mapping<T extends object>(
  fields: Fields<T>,
  options: MappingOptions<T> = {},
): Reader<T> {
  const aliases = new Map(Object.entries(options.aliases ?? {}));
  const known = new Map<string, Reader<unknown>>(Object.entries(fields));
  const required = options.required ?? [];
  const properties = Object.fromEntries(Array.from(known, ([key, { schema }]) => [key, schema]));
  for (const [spelling, key] of aliases) {
    properties[spelling] = { $ref: `#/properties/${key}`, deprecated: true };
  }
  return {
    schema: {
      type: required.length > 0 ? "object" : ["object", "null"],
      ...(options.about === undefined ? {} : { description: options.about }),
      properties,
      additionalProperties: false,
      ...(required.length > 0 ? { required } : {}),
    },
    read(node, walk) {
      if (isNothing(node) && required.length === 0) return {} as T;
      if (!isMap(node)) return walk.error(node, `Expected keys and values, found ${kindOf(node)}`);
      const result: Record<string, unknown> = {};
      const before = walk.errors.length;
      for (const { key, keyNode, value } of membersOf(node, walk, aliases)) {
        const reader = known.get(key);
        if (reader === undefined) {
          walk.error(keyNode, unknownWord("key", key, [...known.keys()]));
          continue;
        }
        if (keyNode.value !== key) {
          walk.warning(keyNode, `Key ${quote(String(keyNode.value))} is read as ${quote(key)}`);
        }
        const read = walk.read(value, reader);
        if (read !== undefined) result[key] = read;
      }
      for (const key of required) {
        if (!node.items.some(({ key: there }) => isScalar(there) && there.value === key)) {
          walk.error(node, `Missing key ${quote(key)}`);
        }
      }
      // Keys that could not be read are reported already.
      const wrong = walk.errors.length === before ? options.check?.(result as T) : undefined;
      return wrong === undefined ? result as T : walk.error(node, wrong);
    },
  };
}

/** A mapping whose keys the author chooses. `checkKey` says what is wrong with one. */
export function dictionary<T>(
  item: Reader<T>,
  checkKey?: (key: string) => string | undefined,
): Reader<Readonly<Record<string, T>>> {
  return {
    schema: { type: ["object", "null"], additionalProperties: item.schema },
    read(node, walk) {
      if (isNothing(node)) return {};
      if (!isMap(node)) return walk.error(node, `Expected keys and values, found ${kindOf(node)}`);
      const result: [string, T][] = [];
      for (const { key, keyNode, value } of membersOf(node, walk, new Map())) {
        const wrong = checkKey?.(key);
        if (wrong !== undefined) {
          walk.error(keyNode, wrong);
          continue;
        }
        const read = walk.read(value, item);
        if (read !== undefined) result.push([key, read]);
      }
      return Object.fromEntries(result);
    },
  };
}

interface Member {
  /** The canonical key. */
  readonly key: string;
  readonly keyNode: Scalar;
  readonly value: Node | null;
}

/** The members of a mapping; a key that is no text or comes twice is reported. */
function membersOf(
  node: YAMLMap,
  walk: Walk,
  aliases: ReadonlyMap<string, string>,
): Member[] {
  const members: Member[] = [];
  /** The canonical key, and how it was spelled. */
  const seen = new Map<string, string>();
  for (const { key: keyNode, value } of node.items as { key: Node; value: Node | null }[]) {
    if (!isScalar(keyNode)) {
      walk.error(keyNode, `Expected a key, found ${kindOf(keyNode)}`);
      continue;
    }
    const spelled = String(keyNode.value);
    const key = aliases.get(spelled) ?? spelled;
    const before = seen.get(key);
    seen.set(key, spelled);
    if (before === undefined) {
      members.push({ key, keyNode, value });
    } else {
      walk.error(
        keyNode,
        before === spelled
          ? `Duplicate key ${quote(spelled)}`
          : `Keys ${quote(before)} and ${quote(spelled)} are the same, keep one of them`,
      );
    }
  }
  return members;
}

/** A list. A key without a value counts as an empty one. */
export function list<T>(item: Reader<T>, about?: string): Reader<readonly T[]> {
  return {
    schema: {
      type: ["array", "null"],
      ...(about === undefined ? {} : { description: about }),
      items: item.schema,
    },
    read(node, walk) {
      if (isNothing(node)) return [];
      if (!isSeq(node)) {
        const hint = isScalar(node) ? ", put it in brackets" : "";
        return walk.error(node, `Expected a list, found ${kindOf(node)}${hint}`);
      }
      return readItems(node, item, walk);
    },
  };
}

/** One item, or a list of them. */
export function oneOrMore<T>(item: Reader<T>): Reader<readonly T[]> {
  return {
    schema: { anyOf: [item.schema, { type: "array", items: item.schema, minItems: 1 }] },
    read(node, walk) {
      if (isSeq(node)) {
        if (node.items.length === 0) return walk.error(node, "List is empty, it takes one or more");
        return readItems(node, item, walk);
      }
      const value = walk.read(node, item);
      return value === undefined ? undefined : [value];
    },
  };
}

function readItems<T>(node: YAMLSeq, item: Reader<T>, walk: Walk): T[] {
  const values: T[] = [];
  for (const child of node.items as Node[]) {
    const value = walk.read(child, item);
    if (value !== undefined) values.push(value);
  }
  return values;
}

/** `true` or `false`. */
export function boolean(about?: string): Reader<boolean> {
  return {
    schema: { type: "boolean", ...(about === undefined ? {} : { description: about }) },
    read: (node, walk) =>
      isScalar(node) && typeof node.value === "boolean"
        ? node.value
        : walk.error(node, `Expected true or false, found ${kindOf(node)}`),
  };
}

/** A whole number from `min` to `max`; the document is parsed with `intAsBigInt`. */
export function integer({ min, max }: { min: number; max: number }): Reader<number> {
  return {
    schema: { type: "integer", minimum: min, maximum: max },
    read(node, walk) {
      if (!isScalar(node) || typeof node.value !== "bigint") {
        return walk.error(node, `Expected a whole number, found ${kindOf(node)}`);
      }
      if (node.value < min || node.value > max) {
        return walk.error(node, `Number ${clip(String(node.value))} is not from ${min} to ${max}`);
      }
      return Number(node.value);
    },
  };
}

/** A word out of a few. */
export function choice<T extends string>(what: string, words: readonly T[]): Reader<T> {
  return {
    schema: { enum: words },
    read(node, walk) {
      if (!isScalar(node) || typeof node.value !== "string") {
        return walk.error(node, `Expected ${what} as text, found ${kindOf(node)}`);
      }
      const { value } = node;
      const word = words.find((word) => word === value);
      return word ?? walk.error(node, unknownWord(what, value, words));
    },
  };
}

/** A whole number from `min` to `max`, or text that `text` reads. */
export function integerOrText(
  number: Reader<number>,
  words: Reader<string>,
): Reader<number | string> {
  return {
    schema: { anyOf: [number.schema, words.schema] },
    read: (node, walk) =>
      isScalar(node) && (typeof node.value === "bigint" || typeof node.value === "number")
        ? number.read(node, walk)
        : words.read(node, walk),
  };
}

/** What a {@linkcode text} must be. */
export interface TextRules {
  /** Most bytes, as UTF-8. */
  readonly maxBytes: number;
  /** What is wrong with the text, or undefined. */
  readonly check?: (text: string) => string | undefined;
  /** More about it for the schema. */
  readonly schema?: JsonObject;
}

/** Text of at least one byte, without NUL. */
export function text({ maxBytes, check, schema }: TextRules): Reader<string> {
  return {
    schema: { type: "string", minLength: 1, maxLength: maxBytes, ...schema },
    read(node, walk) {
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
          `Text ${quote(value)} is ${bytes} bytes, at most ${maxBytes} fit`,
        );
      }
      const wrong = check?.(value);
      return wrong === undefined ? value : walk.error(node, wrong);
    },
  };
}

/** `Unknown key "x", did you mean "y"?`, or the known ones where they are few. */
export function unknownWord(what: string, word: string, known: readonly string[]): string {
  // A name in other letters or without its prefix is further from it than `nearest` goes.
  const folded = word.toLowerCase();
  const near = known.find((it) => `_${it.toLowerCase()}`.endsWith(`_${folded}`)) ??
    nearest(word, known);
  const rest = near !== undefined
    ? `, did you mean ${quote(near)}?`
    : known.length <= MAX_LISTED
    ? `, known: ${known.join(", ")}`
    : "";
  return `Unknown ${what} ${quote(word)}${rest}`;
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

/** Text in quotes, shortened for a message. */
export function quote(text: string): string {
  return JSON.stringify(clip(text));
}

/** Long text, shortened for a message. */
function clip(text: string): string {
  return text.length > 60 ? `${text.slice(0, 59)}…` : text;
}
