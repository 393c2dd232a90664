import { ndjsonLine } from "./ndjson.ts";
import type { Classification } from "./records.ts";

const KEY = "classification";
const MEMBERS = new WeakMap<Classification, Uint8Array>();
const ENCODER = new TextEncoder();
/** What matters between the members of an object. */
const STRUCTURE = /["{}[\],]/g;

/**
 * A line with another `classification`, or without one; every other character stays as it is. It
 * takes the place of the one that was there, or stands last.
 *
 * @param line A JSON object as text.
 */
export function withClassification(line: string, value: Classification | undefined): string {
  const last = line.lastIndexOf("}");
  const text = value === undefined ? "" : `,"${KEY}":${ndjsonLine(value)}`;
  // An escape may spell the key, too.
  if (!line.includes(KEY) && !line.includes("\\u")) {
    return line.slice(0, last) + text + line.slice(last);
  }
  const members = membersOf(line, last);
  const at = members.findLastIndex((member) => keyOf(member) === KEY);
  if (at >= 0 && value !== undefined) members[at] = text.slice(1);
  const kept = members.filter((member, i) =>
    i === at && value !== undefined || keyOf(member) !== KEY
  );
  if (at < 0 && value !== undefined) kept.push(text.slice(1));
  return line.slice(0, line.indexOf("{") + 1) + kept.join(",") + line.slice(last);
}

/** A classification as the last member of an object, as UTF-8; many records have the same one. */
export function classificationMember(value: Classification): Uint8Array {
  let member = MEMBERS.get(value);
  if (member === undefined) {
    member = ENCODER.encode(`,"${KEY}":${ndjsonLine(value)}`);
    MEMBERS.set(value, member);
  }
  return member;
}

/** The top-level members of an object that ends at `last`, without the commas between them. */
function membersOf(line: string, last: number): string[] {
  const members: string[] = [];
  let depth = 0;
  let start = -1;
  STRUCTURE.lastIndex = 0;
  for (;;) {
    const found = STRUCTURE.exec(line);
    if (found === null || found.index >= last) break;
    const at = found.index;
    switch (found[0]) {
      case '"':
        STRUCTURE.lastIndex = endOfString(line, at);
        break;
      case "{":
      case "[":
        if (++depth === 1) start = at + 1;
        break;
      case "}":
      case "]":
        depth--;
        break;
      default:
        if (depth === 1) {
          members.push(line.slice(start, at));
          start = at + 1;
        }
    }
  }
  if (start >= 0) members.push(line.slice(start, last));
  return members;
}

/** The index after the string that begins at `at`. */
function endOfString(line: string, at: number): number {
  let i = at + 1;
  while (line[i] !== '"' && i < line.length) i += line[i] === "\\" ? 2 : 1;
  return i + 1;
}

/** The key of a member. */
function keyOf(member: string): string {
  const start = member.indexOf('"');
  return JSON.parse(member.slice(start, endOfString(member, start)));
}
