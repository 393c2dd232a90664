import type { JsonValue } from "../uapi/json_value.ts";

/**
 * What JSON.stringify leaves bare and a terminal may obey or a reader may be misled by: DEL and
 * the C1 controls, marks that turn the direction of text, and the two Unicode line ends.
 */
const BARE = /[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;

/**
 * A record as one line of NDJSON, without the line's end. Keys keep their order; every control
 * character is escaped, so that a line shown on a terminal is only text.
 *
 * @param record The record, or a value in one, without bigint values or cycles.
 * @returns The line.
 */
export function ndjsonLine(record: object | JsonValue): string {
  return JSON.stringify(record).replace(
    BARE,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}
