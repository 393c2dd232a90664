import type { KernelObject } from "../kernel/program.ts";
import type { IOUringEntry } from "../record/records.ts";
import { NO_MEMORY } from "../uapi/argument.ts";
import { hexText } from "../uapi/numbers.ts";
import { opcodeName } from "../uapi/opcodes.ts";
import { classifyIoUring } from "../uapi/seccomp_bypass.ts";
import type { CarvedRings } from "./carve.ts";
import type { ScanContext } from "./context.ts";
import { readable } from "./diagnostics.ts";
import type { FoundRing } from "./find_rings.ts";
import { userDataOf } from "./prepared_request.ts";
import { RequestOwners, userDataOfAll } from "./request_owners.ts";
import { requestRecord } from "./request_record.ts";
import { RingNotes } from "./ring_notes.ts";
import { type JoinedRequest, joinRequests } from "./ring_requests.ts";
import {
  type Completion,
  isQueueSize,
  MAX_CQ_ENTRIES,
  NO_STATE,
  readQueues,
  type RingState,
} from "./ring_state.ts";

/** What no process and no context is left of. */
const MISSING = ["pid", "comm", "pending_opcodes", "bypasses_seccomp", "seccomp_active"];

/**
 * The queues of a ring that was freed. Its submissions lie in memory of their own, which may have
 * been used again: only those count that a completion or a request in `requests` confirms. Where
 * the queues are gone, the kernel's own counters are left.
 */
export function readFreedRing(
  { ctx, freed }: FoundRing,
  requests: readonly KernelObject[],
  notes: RingNotes,
): RingState {
  const rings = freed?.queues;
  if (rings === undefined) {
    notes.remark(
      "ring_remnant",
      `the ring no longer exists, and its queues are gone${doubt(requests)}`,
    );
    const cqEntries = ctx.number("cq_entries");
    const whole = isQueueSize(cqEntries, MAX_CQ_ENTRIES);
    if (!whole) notes.missing.push("cq_entries");
    return {
      ...NO_STATE,
      sqEntries: ctx.number("sq_entries"),
      cqEntries: whole ? cqEntries : 0,
      sqHead: ctx.number("cached_sq_head"),
      ...(whole ? { cqTail: ctx.number("cached_cq_tail") } : {}),
    };
  }
  const state = readQueues({ ctx, rings, freed: true }, notes);
  const isSure = namesAll(state);
  notes.remark("ring_remnant", `the ring no longer exists${isSure ? "" : doubt(requests)}`);
  const known = new Set(state.completions.map(({ userData }) => userData));
  for (const userData of userDataOfAll(requests)) known.add(userData);
  const consumed = state.consumed.filter(({ sqe }) =>
    sqe.userData !== 0n && known.has(sqe.userData)
  );
  return { ...state, consumed, pending: [] };
}

/**
 * Tells the requests of a freed ring from those of an earlier ring at the same address: where the
 * queues name as many requests as were ever submitted, what they do not name is not of this ring.
 */
export function requestsByRing(
  { freed }: FoundRing,
  requests: readonly KernelObject[],
): { own: readonly KernelObject[]; earlier: readonly KernelObject[] } {
  const queues = freed?.queues;
  const state = queues &&
    readable(() => readQueues({ ctx: undefined, rings: queues, freed: true }, new RingNotes()));
  return state === undefined ? { own: requests, earlier: [] } : partedBy(state, requests);
}

function partedBy(
  state: RingState,
  requests: readonly KernelObject[],
): { own: readonly KernelObject[]; earlier: readonly KernelObject[] } {
  if (!namesAll(state)) return { own: requests, earlier: [] };
  const named = new Set(state.completions.map(({ userData }) => userData));
  const isOwn = (kiocb: KernelObject) => named.has(readable(() => userDataOf(kiocb)) ?? 0n);
  return { own: requests.filter(isOwn), earlier: requests.filter((kiocb) => !isOwn(kiocb)) };
}

/** Whether the queues name as many requests as were ever submitted. */
function namesAll({ completions, taken }: RingState): boolean {
  return new Set(completions.map(({ userData }) => userData)).size >= taken;
}

/** What has to be said of requests that cannot be told from those of an earlier ring. */
function doubt(requests: readonly KernelObject[]): string {
  return requests.length === 0 ? "" : "; requests may be of an earlier ring in the same memory";
}

/** The completions in queues that have no context any more. */
export function completionsOf(rings: KernelObject): readonly Completion[] {
  return readQueues({ ctx: undefined, rings, freed: true }, new RingNotes()).completions;
}

/**
 * Entries of rings of which only the queues are left, or only requests, or both: the requests that
 * completions in the queues speak of. When the budget is spent, the rest is left out.
 */
export function* remnantEntries(
  { headers, requests }: CarvedRings,
  known: readonly FoundRing[],
  { opcodeNames, context }: {
    opcodeNames: ReadonlyMap<number, string>;
    context: ScanContext;
  },
): Generator<IOUringEntry> {
  const { diagnostics, program: { memory: { budget } } } = context;
  const groups = new Map(requests);
  for (const ring of known) {
    const { earlier } = requestsByRing(ring, requests.get(ring.ctx.address) ?? []);
    if (earlier.length === 0) groups.delete(ring.ctx.address);
    else groups.set(ring.ctx.address, earlier);
  }
  const owners = new RequestOwners(groups);
  for (const rings of headers) {
    if (budget.isSpent) return;
    const notes = new RingNotes();
    const state = diagnostics.attempt(
      { code: "ring_incomplete", action: "queues of a freed ring", hides: "its entry" },
      () => readQueues({ ctx: undefined, rings, freed: true }, notes),
    );
    if (state === undefined) continue;
    const ctx = owners.take(state.completions);
    const { own, earlier } = partedBy(state, ctx === undefined ? [] : groups.get(ctx)!);
    if (ctx !== undefined && earlier.length > 0) groups.set(ctx, earlier);
    else if (ctx !== undefined) groups.delete(ctx);
    yield remnantEntry({ ctx, state, objects: own, opcodeNames }, notes);
    if (notes.damaged) {
      diagnostics.report(
        "ring_incomplete",
        "the queues of a freed ring could not be read in full",
        "parts of its entry, which says which",
      );
    }
  }
  for (const [ctx, objects] of groups) {
    if (budget.isSpent) return;
    yield remnantEntry({ ctx, state: undefined, objects, opcodeNames }, new RingNotes());
  }
}

interface Remnant {
  readonly ctx: bigint | undefined;
  readonly state: RingState | undefined;
  readonly objects: readonly KernelObject[];
  readonly opcodeNames: ReadonlyMap<number, string>;
}

function remnantEntry(
  { ctx, state, objects, opcodeNames }: Remnant,
  notes: RingNotes,
): IOUringEntry {
  const { history } = joinRequests(state ?? NO_STATE, [], objects);
  const around = {
    opcodeName: (opcode: number) => opcodeNames.get(opcode) ?? opcodeName(opcode),
    memoryOf: () => NO_MEMORY,
    fileOf: () => undefined,
    compat: false,
    notes,
  };
  if (ctx === undefined) notes.missing.push("ctx_addr");
  if (state === undefined) notes.missing.push("sq_entries", "cq_entries");
  notes.missing.push(...MISSING);
  const isSure = state === undefined ? objects.length === 1 : namesAll(state);
  notes.remark(
    "ring_remnant",
    `the ring no longer exists; only its ${state === undefined ? "requests" : "queues"} are left` +
      (isSure ? "" : doubt(objects)),
  );
  const records = history.map((request, i) => requestRecord(request, `history.${i}`, around));
  return {
    type: "IOUringEntry",
    pid: 0,
    comm: "",
    ctx_addr: hexText(ctx ?? 0n),
    sq_entries: state?.sqEntries ?? 0,
    cq_entries: state?.cqEntries ?? 0,
    pending_opcodes: [],
    bypasses_seccomp: classifyIoUring(opcodesOf(history), 0),
    seccomp_active: false,
    owners: [],
    found_by: ["carved"],
    confidence: "low",
    ...(state === undefined ? {} : heads(state)),
    pending: [],
    in_flight: [],
    history: records,
    diagnostics: notes.diagnostics,
    missing: notes.missing,
    ...(notes.unverified.length === 0 ? {} : { unverified: notes.unverified }),
  };
}

function opcodesOf(requests: readonly JoinedRequest[]): number[] {
  return requests.flatMap(({ opcode }) => opcode ?? []);
}

function heads({ sqHead, sqTail, cqHead, cqTail, dropped, overflow }: RingState) {
  return {
    ...(sqHead === undefined ? {} : { sq_head: sqHead }),
    ...(sqTail === undefined ? {} : { sq_tail: sqTail }),
    ...(cqHead === undefined ? {} : { cq_head: cqHead }),
    ...(cqTail === undefined ? {} : { cq_tail: cqTail }),
    ...(dropped === undefined ? {} : { dropped }),
    ...(overflow === undefined ? {} : { overflow }),
  };
}
