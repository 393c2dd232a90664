import type { KernelObject } from "../kernel/program.ts";
import type { RequestSource } from "../record/records.ts";
import { readable } from "./diagnostics.ts";
import type { HeldRequest, RequestState } from "./kernel_requests.ts";
import { opcodeOf, resultOfCompleted, userDataOf } from "./prepared_request.ts";
import type { Completion, RingState, Slot } from "./ring_state.ts";

/** A request as all places that hold something of it tell together. */
export interface JoinedRequest {
  /** Undefined for a completion whose request nothing remembers. */
  readonly opcode: number | undefined;
  readonly userData: bigint;
  readonly slot: Slot | undefined;
  readonly kiocb: KernelObject | undefined;
  /** Only of requests in flight. */
  readonly state: RequestState | undefined;
  /** The io-wq worker that runs it. */
  readonly worker?: KernelObject | undefined;
  /** Results in the order of completion: more than one of a multishot request. */
  readonly results: number[];
  /** `IORING_CQE_F_MORE` of the last completion: more may follow. */
  more: boolean;
  /** The result was joined by the order of submissions and completions alone. */
  byOrder: boolean;
  readonly sources: Set<RequestSource>;
}

/** A ring's requests: those to be taken, those under way, those that are done, oldest first. */
export interface RingRequests {
  readonly pending: readonly JoinedRequest[];
  readonly inFlight: readonly JoinedRequest[];
  readonly history: readonly JoinedRequest[];
}

const CQE_F_MORE = 1 << 1;
const CQE_F_NOTIF = 1 << 3;
const IOSQE_CQE_SKIP_SUCCESS = 1 << 6;

/**
 * Joins what the ring's queues and the kernel's own objects say. Two things are the same request
 * only where opcode and user_data leave no other choice, or where every submission has one
 * completion in the same place; what cannot be joined stands for itself.
 */
export function joinRequests(
  state: RingState,
  held: readonly HeldRequest[],
  recycled: readonly KernelObject[],
): RingRequests {
  const slots = state.consumed.map((slot) => ofSlot(slot));
  const consumed = Map.groupBy(slots, keyOf);

  const inFlight: JoinedRequest[] = [];
  const running = new Set<JoinedRequest>();
  for (const { kiocb, state: where, worker } of held) {
    const opcode = readable(() => opcodeOf(kiocb));
    const userData = readable(() => userDataOf(kiocb));
    if (opcode === undefined || userData === undefined) continue;
    // The latest slot that fits is the one it came from; earlier ones are done.
    const slot = consumed.get(keyOf({ opcode, userData }))?.pop();
    if (slot !== undefined) running.add(slot);
    inFlight.push({
      ...request(opcode, userData),
      slot: slot?.slot,
      kiocb,
      state: where,
      worker,
      sources: new Set<RequestSource>(slot === undefined ? ["kiocb"] : ["sqe", "kiocb"]),
    });
  }
  inFlight.sort((a, b) => age(a, state) - age(b, state));

  const done = slots.filter((slot) => !running.has(slot));
  const alone = joinCompletions(state, done, inFlight);
  const { forgotten, answered } = joinRecycled(recycled, done, alone);
  return {
    pending: state.pending.map((slot) => ofSlot(slot)),
    inFlight,
    history: [...forgotten, ...alone.filter((request) => !answered.has(request)), ...done],
  };
}

/** Gives requests the results of their completions; the completions that belong to none. */
function joinCompletions(
  state: RingState,
  done: readonly JoinedRequest[],
  inFlight: readonly JoinedRequest[],
): JoinedRequest[] {
  const requestsByData = Map.groupBy([...inFlight, ...done], (r) => r.userData);
  // The second completion of a zero-copy send says only that its buffer is free again.
  const answers = state.completions.filter((c) => (c.flags & CQE_F_NOTIF) === 0);
  const inOrder = completesInOrder(state, inFlight);
  const byPosition = new Map(done.map((r) => [r.slot?.position, r]));
  const alone: JoinedRequest[] = [];
  for (const [userData, completions] of Map.groupBy(answers, (c) => c.userData)) {
    const requests = requestsByData.get(userData) ?? [];
    const only = requests.length === 1 ? requests[0] : undefined;
    if (only !== undefined && areOf(only, completions)) {
      for (const completion of completions) give(only, completion);
      continue;
    }
    for (const completion of completions) {
      const inPlace = inOrder ? byPosition.get(completion.position) : undefined;
      if (inPlace !== undefined) {
        give(inPlace, completion);
        inPlace.byOrder = true;
        continue;
      }
      const record = request(undefined, userData);
      give(record, completion);
      alone.push(record);
    }
  }
  return alone;
}

/**
 * Whether completions of one user_data are those of one request: a single one, or a series of
 * which each but the last says that more follow. A request in flight has only such that do.
 */
function areOf(request: JoinedRequest, completions: readonly Completion[]): boolean {
  const series = request.state === undefined ? completions.slice(0, -1) : completions;
  return series.every((c) => (c.flags & CQE_F_MORE) !== 0);
}

/**
 * Whether each submission has exactly one completion at the same position: as many of one as of
 * the other, none under way, and the same user_data wherever both can be seen.
 */
function completesInOrder(state: RingState, inFlight: readonly JoinedRequest[]): boolean {
  if (state.taken !== state.posted || inFlight.length > 0) return false;
  const slots = new Map(state.consumed.map((slot) => [slot.position, slot.sqe]));
  return state.completions.every(({ position, userData, flags }) => {
    const sqe = slots.get(position);
    return (flags & (CQE_F_MORE | CQE_F_NOTIF)) === 0 &&
      (sqe === undefined ||
        (sqe.userData === userData && (sqe.flags & IOSQE_CQE_SKIP_SUCCESS) === 0));
  });
}

/**
 * Joins the objects that the kernel keeps for reuse. Their opcode, user_data and result are the
 * kernel's own. Gives the requests that only they remember, and the completions that belong to one
 * of these.
 */
function joinRecycled(
  recycled: readonly KernelObject[],
  done: readonly JoinedRequest[],
  alone: readonly JoinedRequest[],
): { forgotten: JoinedRequest[]; answered: ReadonlySet<JoinedRequest> } {
  const open = new OpenRequests(done);
  const answers = new Map<bigint, Set<JoinedRequest>>();
  for (const request of alone) addTo(answers, request.userData, request);
  const forgotten: JoinedRequest[] = [];
  const answered = new Set<JoinedRequest>();
  for (const kiocb of recycled) {
    const opcode = readable(() => opcodeOf(kiocb));
    const userData = readable(() => userDataOf(kiocb));
    if (opcode === undefined || userData === undefined) continue;
    const key = keyOf({ opcode, userData });
    const result = readable(() => resultOfCompleted(kiocb));
    const match = open.take(key, result);
    if (match !== undefined) {
      if (match.results.length === 0 && result !== undefined) match.results.push(result);
      match.sources.add("kiocb");
      continue;
    }
    // Without a result it may be any of those that look the same.
    if (result === undefined && open.has(key)) continue;
    const record = {
      ...request(opcode, userData),
      kiocb,
      results: result === undefined ? [] : [result],
      sources: new Set<RequestSource>(["kiocb"]),
    };
    // A completion that no slot remembers any more may be this request's.
    const left = answers.get(userData);
    const answer = left?.size === 1 ? first(left) : undefined;
    if (answer !== undefined && (result === undefined || answer.results.includes(result))) {
      record.results = answer.results;
      record.sources.add("cqe");
      left!.delete(answer);
      answered.add(answer);
    }
    forgotten.push(record);
  }
  return { forgotten, answered };
}

/** Requests that no object of the kernel has been joined to yet, by opcode and user_data. */
class OpenRequests {
  #byKey = new Map<string, Set<JoinedRequest>>();
  #byResult = new Map<string, Set<JoinedRequest>>();

  constructor(requests: readonly JoinedRequest[]) {
    for (const request of requests) {
      const key = keyOf(request);
      addTo(this.#byKey, key, request);
      for (const result of request.results) addTo(this.#byResult, `${key} ${result}`, request);
    }
  }

  /** Whether there was any, taken since or not. */
  has(key: string): boolean {
    return this.#byKey.has(key);
  }

  /** The first with the result, or the only one left, where one of both results is not known. */
  take(key: string, result: number | undefined): JoinedRequest | undefined {
    const left = this.#byKey.get(key);
    if (left === undefined) return undefined;
    let match = first(this.#byResult.get(`${key} ${result}`) ?? []);
    if (match === undefined && left.size === 1) {
      const only = first(left);
      if (result === undefined || only?.results.length === 0) match = only;
    }
    if (match !== undefined) {
      left.delete(match);
      for (const result of match.results) this.#byResult.get(`${key} ${result}`)?.delete(match);
    }
    return match;
  }
}

function request(opcode: number | undefined, userData: bigint): JoinedRequest {
  return {
    opcode,
    userData,
    slot: undefined,
    kiocb: undefined,
    state: undefined,
    results: [],
    more: false,
    byOrder: false,
    sources: new Set(),
  };
}

function ofSlot(slot: Slot): JoinedRequest {
  return {
    ...request(slot.sqe.opcode, slot.sqe.userData),
    slot,
    sources: new Set<RequestSource>(["sqe"]),
  };
}

function give(target: JoinedRequest, completion: Completion): void {
  target.results.push(completion.result);
  target.more = (completion.flags & CQE_F_MORE) !== 0;
  target.sources.add("cqe");
}

/** How long ago a request was taken, in submissions; those without a slot count as oldest. */
function age(request: JoinedRequest, state: RingState): number {
  return request.slot === undefined ? -Infinity : -((state.taken - request.slot.position) >>> 0);
}

function keyOf({ opcode, userData }: { opcode: number | undefined; userData: bigint }): string {
  return `${opcode} ${userData}`;
}

function addTo<K, V>(map: Map<K, Set<V>>, key: K, value: V): void {
  const set = map.get(key);
  if (set === undefined) map.set(key, new Set([value]));
  else set.add(value);
}

function first<T>(items: Iterable<T>): T | undefined {
  for (const item of items) return item;
}
