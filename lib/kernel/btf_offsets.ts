import { BtfError, type BtfSections, KIND, trailing } from "./btf_format.ts";

/** A kernel has 50,000 to 200,000 types; far more is damage. */
const MAX_TYPES = 4_000_000;
/** The smallest type takes so many bytes. */
const SMALLEST = 12;

/** Where each type lies in the type section, by id. */
export interface TypeOffsets {
  /** Offsets in bytes; id 0 is void. */
  readonly offsets: Uint32Array;
  /** Number of ids, void included. */
  readonly count: number;
  /** How many types are lost to damage; their offset is {@linkcode LOST}. */
  readonly lost: number;
}

/** Offset of a type that is lost. */
export const LOST = 0xffffffff;

/**
 * Where the types lie: one after the other, each as long as it says.
 *
 * @throws {BtfError} when one cannot be.
 */
export function typeOffsets(sections: BtfSections): TypeOffsets {
  const { types } = sections;
  const offsets = new Uint32Array(Math.min(MAX_TYPES, types.byteLength / SMALLEST + 2));
  let id = 1;
  let at = 0;
  while (at < types.byteLength) {
    if (id >= offsets.length) throw new BtfError(`BTF has more than ${id} types`);
    if (!isType(sections, at)) throw new BtfError(`type ${id} of BTF is damaged`);
    offsets[id++] = at;
    at += lengthAt(types, at);
  }
  const result = { offsets, count: id, lost: 0 };
  const wrong = functionsWithoutPrototype(types, result);
  if (wrong > 0) throw new BtfError(`${wrong} functions of BTF have no type`);
  return result;
}

/** Places with damage after which the rest is given up: each costs a look at all types. */
const MOST_GAPS = 16;
/** Types in a row that prove that one begins here. */
const PROOF = 64;
/** Before damage shows, it may have passed for so many types. */
const DOUBTFUL = 2;

/**
 * Where the types lie that damage leaves. Behind a stretch that cannot be types they go on where a
 * row of types fits together. They know each other by number, and how many were in between shows in
 * what their numbers lead to.
 */
export function salvageTypeOffsets(sections: BtfSections): TypeOffsets {
  const { types } = sections;
  const offsets = new Uint32Array(Math.min(MAX_TYPES, types.byteLength / SMALLEST + 2)).fill(LOST);
  let lost = 0;
  let id = 1;
  let at = 0;
  for (let gaps = 0; id < offsets.length; gaps++) {
    const first = id;
    while (id < offsets.length && isType(sections, at)) {
      offsets[id++] = at;
      at += lengthAt(types, at);
    }
    if (at === types.byteLength) return { offsets, count: id, lost };
    // What came last may be damage that passed for types.
    const kept = Math.max(first, id - DOUBTFUL);
    if (kept < id) at = offsets[kept]!;
    offsets.fill(LOST, kept, id);
    const next = gaps < MOST_GAPS ? nextRow(sections, at) : undefined;
    const skipped = next === undefined
      ? undefined
      : countBetween(sections, { offsets, at, next, id: kept });
    if (next === undefined || skipped === undefined) {
      // Nobody knows their numbers.
      lost += Math.ceil((types.byteLength - at) / (SMALLEST * 2));
      return { offsets, count: kept, lost };
    }
    lost += skipped;
    id = kept + skipped;
    at = next;
  }
  return { offsets, count: id, lost };
}

/** Where the next row of types begins behind damage. */
function nextRow(sections: BtfSections, from: number): number | undefined {
  const end = sections.types.byteLength;
  for (let start = from + SMALLEST; start < end; start += 4) {
    let at = start;
    let row = 0;
    while (row < PROOF && at < end && isType(sections, at)) {
      at += lengthAt(sections.types, at);
      row++;
    }
    if (row === PROOF || at === end) return start;
  }
  return undefined;
}

/** References looked at, and how few prove nothing. */
const MOST_VOTES = 4096;
const FEWEST_VOTES = 16;

/**
 * How many types lie between the last good one and those that go on behind damage: as many as let
 * every reference across it lead to a kind that it can lead to. Undefined where that leaves a choice.
 */
function countBetween(
  sections: BtfSections,
  { offsets, id, at, next }: { offsets: Uint32Array; id: number; at: number; next: number },
): number | undefined {
  const { types } = sections;
  const row: number[] = [];
  for (let at = next; isType(sections, at); at += lengthAt(types, at)) row.push(kindAt(types, at));
  const most = Math.floor((next - at) / SMALLEST);
  const possible = new Set(Array.from({ length: most }, (_, i) => i + 1));
  let votes = 0;
  const vote = (from: number, target: number) => {
    // Behind the damage whatever it took, and before the end.
    if (target < id + most || target > id + row.length || votes >= MOST_VOTES) return;
    votes++;
    for (const skipped of possible) {
      if (!canLead(from, row[target - id - skipped] ?? 0)) possible.delete(skipped);
    }
  };
  for (let before = 1; before < id; before++) {
    if (offsets[before] !== LOST) forEachReference(types, offsets[before]!, vote);
  }
  for (let at = next; isType(sections, at); at += lengthAt(types, at)) {
    forEachReference(types, at, vote);
  }
  const [only, other] = possible;
  return votes >= FEWEST_VOTES && other === undefined ? only : undefined;
}

/** What no type is made of. */
const NO_DATA: readonly number[] = [KIND.FUNC, KIND.VAR, KIND.DATASEC, KIND.DECL_TAG];

/** Whether a type of a kind can refer to one of another. */
function canLead(from: number, to: number): boolean {
  if (from === KIND.FUNC) return to === KIND.FUNC_PROTO;
  const isMember = from === KIND.STRUCT || from === KIND.UNION || from === KIND.ARRAY;
  return to !== 0 && !NO_DATA.includes(to) && !(isMember && to === KIND.FUNC_PROTO);
}

/** The ids that a type refers to, where their kind tells something. */
function forEachReference(
  types: DataView,
  at: number,
  visit: (from: number, target: number) => void,
): void {
  const kind = kindAt(types, at);
  switch (kind) {
    case KIND.STRUCT:
    case KIND.UNION:
    case KIND.FUNC_PROTO: {
      const each = kind === KIND.FUNC_PROTO ? 8 : 12;
      const count = types.getUint16(at + 4, true);
      for (let i = 0; i < count; i++) {
        visit(kind, types.getUint32(at + SMALLEST + i * each + 4, true));
      }
      return;
    }
    case KIND.ARRAY:
      return visit(kind, types.getUint32(at + SMALLEST, true));
    case KIND.PTR:
    case KIND.FUNC:
    case KIND.VAR:
    case KIND.TYPEDEF:
    case KIND.CONST:
      return visit(kind, types.getUint32(at + 8, true));
  }
}

/** Whether what lies at an offset can be a type: a kind, a name, and members that can be. */
function isType({ types, strings }: BtfSections, at: number): boolean {
  if (at + SMALLEST > types.byteLength) return false;
  const kind = kindAt(types, at);
  if (kind === 0 || kind > KIND.ENUM64) return false;
  const length = lengthAt(types, at);
  if (at + length > types.byteLength) return false;
  const isName = (name: number) =>
    name === 0 || name < strings.length && strings[name - 1] === 0 && strings[name] !== 0;
  const isId = (id: number) => id < types.byteLength / SMALLEST;
  if (!isName(types.getUint32(at, true))) return false;
  const count = types.getUint16(at + 4, true);
  if (kind !== KIND.STRUCT && kind !== KIND.UNION && kind !== KIND.FUNC_PROTO) return true;
  const each = kind === KIND.FUNC_PROTO ? 8 : 12;
  for (let i = 0; i < count; i++) {
    const item = at + SMALLEST + i * each;
    if (!isName(types.getUint32(item, true)) || !isId(types.getUint32(item + 4, true))) {
      return false;
    }
  }
  return true;
}

/** Functions whose type is none: their numbers are not those that types had. */
function functionsWithoutPrototype(types: DataView, { offsets, count }: TypeOffsets): number {
  let wrong = 0;
  for (let id = 1; id < count; id++) {
    if (kindAt(types, offsets[id]!) !== KIND.FUNC) continue;
    const target = types.getUint32(offsets[id]! + 8, true);
    if (target >= count || kindAt(types, offsets[target]!) !== KIND.FUNC_PROTO) wrong++;
  }
  return wrong;
}

function kindAt(types: DataView, at: number): number {
  return types.getUint8(at + 7) & 0x1f;
}

function lengthAt(types: DataView, at: number): number {
  return SMALLEST + trailing(kindAt(types, at), types.getUint16(at + 4, true));
}
