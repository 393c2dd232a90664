import { parseIpRange } from "../uapi/ip_address.ts";
import {
  OPCODE_CATEGORIES,
  opcodeNumber,
  OPCODES,
  opcodesOfCategory,
  UNKNOWN_OPCODE,
} from "../uapi/opcodes.ts";
import { parseGlob } from "./glob.ts";
import { choice, integer, integerOrText, list, mapping, quote, text } from "./schema.ts";

/** Which paths. The lists are alternatives; an empty or absent one is no condition. */
export interface PathConfig {
  /** Whole paths, at most 4095 bytes each. */
  readonly exact?: readonly string[];
  /** Beginnings of paths, at most 4095 bytes each. */
  readonly prefix?: readonly string[];
  /** Globs, at most 255 bytes each. */
  readonly glob?: readonly string[];
}

/** Which requests. All that are given must match; an empty or absent list is "any". */
export interface EventFilterConfig {
  /** Names (`IORING_OP_OPENAT`, `UNKNOWN` for all that have none) and categories (`network`). */
  readonly opcode?: readonly string[];
  readonly path?: PathConfig;
  /** Addresses and CIDR ranges of the peer. */
  readonly address?: readonly string[];
  /** Ports and ranges (`8000-8999`) of the peer. */
  readonly port?: readonly (number | string)[];
}

/** The first and last port of a range. */
export interface PortRange {
  readonly first: number;
  readonly last: number;
}

const PORT_RANGE = /^(\d{1,5})-(\d{1,5})$/;
const MAX_PORT = 65_535;
/** Opcodes are one byte. */
const NAMELESS = Array.from({ length: 256 }, (_, number) => number).slice(OPCODES.length);

/** Reads a port or a range of ports; a text says what is wrong with it. */
export function parsePortRange(port: number | string): PortRange | string {
  if (typeof port === "number") return { first: port, last: port };
  const [, first, last] = PORT_RANGE.exec(port) ?? [];
  if (first === undefined) return `${quote(port)} is no port or range of ports, such as 8000-8999`;
  const range = { first: Number(first), last: Number(last) };
  if (range.first > MAX_PORT || range.last > MAX_PORT) {
    return `Port range ${quote(port)} is not within 0 to ${MAX_PORT}`;
  }
  if (range.first > range.last) return `Port range ${quote(port)} runs backward`;
  return range;
}

/** The numbers of the opcodes that names and categories stand for. */
export function opcodeNumbers(words: readonly string[]): Set<number> {
  return new Set(words.flatMap((word) => {
    if (word === UNKNOWN_OPCODE) return NAMELESS;
    const number = opcodeNumber(word);
    return number === undefined ? opcodesOfCategory(word) : [number];
  }));
}

const absolute = (path: string) =>
  path.startsWith("/") ? undefined : `Path ${quote(path)} does not start with "/"`;

/** What is wrong with a glob, or undefined. */
function globProblem(glob: string): string | undefined {
  if (!/^[/*]/.test(glob)) return `Glob ${quote(glob)} starts with neither "/" nor "*"`;
  const tokens = parseGlob(glob);
  return typeof tokens === "string" ? tokens : undefined;
}

function problemOf(parsed: object | string): string | undefined {
  return typeof parsed === "string" ? parsed : undefined;
}

export const ABSOLUTE_PATH = text({
  maxBytes: 4095,
  check: absolute,
  schema: { pattern: "^/" },
});

export const ABSOLUTE_PREFIX = text({ maxBytes: 255, check: absolute, schema: { pattern: "^/" } });

/** Categories, names, and `UNKNOWN`. */
export const OPCODE_WORDS: readonly string[] = [
  ...OPCODE_CATEGORIES,
  ...OPCODES.map(({ name }) => name),
  UNKNOWN_OPCODE,
];

export const OPCODE = choice("opcode or category", OPCODE_WORDS);

export const PATH = mapping<PathConfig>({
  exact: list(ABSOLUTE_PATH),
  prefix: list(ABSOLUTE_PATH),
  glob: list(text({ maxBytes: 255, check: globProblem, schema: { pattern: "^[/*]" } })),
}, { about: "Paths that a request names or works on: exact OR prefix OR glob" });

export const ADDRESS = text({
  maxBytes: 64,
  check: (range) => problemOf(parseIpRange(range)),
});

export const PORT = integerOrText(
  integer({ min: 0, max: MAX_PORT }),
  text({
    maxBytes: 16,
    check: (range) => problemOf(parsePortRange(range)),
    schema: { pattern: PORT_RANGE.source },
  }),
);

export const EVENT_FILTER = mapping<EventFilterConfig>({
  opcode: list(OPCODE, "Opcodes by name or category"),
  path: PATH,
  address: list(ADDRESS, "Addresses and CIDR ranges of the peer"),
  port: list(PORT, "Ports of the peer"),
}, { about: "Which requests: opcode AND path AND address AND port; values in a list are OR" });
