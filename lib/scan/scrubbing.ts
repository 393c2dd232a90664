import type { KernelObject } from "../kernel/program.ts";
import type { RingNotes } from "./ring_notes.ts";
import type { JoinedRequest, RingRequests } from "./ring_requests.ts";
import type { RingState } from "./ring_state.ts";

const NOP = 0;
const IOSQE_CQE_SKIP_SUCCESS = 1 << 6;

/**
 * Notes `ring_scrubbed` where the queues, which the process can write, contradict what the kernel
 * keeps for itself: it has wiped or rewritten them.
 *
 * - Requests that kernel objects remember are in no slot, though no slot has been used again.
 * - Slots from which requests were taken hold nothing, though those requests were not empty.
 * - All completions hold nothing, though they are those of requests with a `user_data`.
 */
export function noteScrubbing(
  ctx: KernelObject,
  state: RingState,
  requests: RingRequests,
  notes: RingNotes,
): void {
  const { proof } = state;
  if (proof === undefined) return;
  const found: string[] = [];
  // Only a process that goes to some length makes a request that is all zeros: no library does.
  const remembered = [...requests.inFlight, ...requests.history].filter((request) =>
    request.slot === undefined && request.kiocb !== undefined && request.opcode !== NOP
  );
  if (proof.complete && remembered.length > 0) {
    found.push(`${remembered.length} requests that the kernel remembers are in no slot`);
  }
  if (proof.empty > 0 && (remembered.length > 0 || isAllEmpty(ctx, state))) {
    found.push(`${proof.empty} slots from which requests were taken hold nothing`);
  }
  if (hasNoCompletions(state, requests)) {
    found.push("the completions of requests that were taken hold nothing");
  }
  if (found.length > 0) notes.remark("ring_scrubbed", found.join("; "));
}

/** Whether nothing is left in any slot, and nothing says that there never was anything. */
function isAllEmpty(ctx: KernelObject, state: RingState): boolean {
  if (state.consumed.length > 0) return false;
  const last = state.completions.at(-1);
  if (last !== undefined && last.userData !== 0n) return true;
  // Kernels that keep requests for reuse would show what the last ones were.
  return !ctx.has("submit_state.free_list");
}

function hasNoCompletions(state: RingState, { history }: RingRequests): boolean {
  const { completions } = state;
  if (completions.length === 0 || completions.length < Math.min(state.posted, state.cqEntries)) {
    return false;
  }
  if (
    completions.some(({ userData, result, flags }) =>
      userData !== 0n || result !== 0 || flags !== 0
    )
  ) {
    return false;
  }
  return history.some(isToComplete);
}

/** A request that is done, and whose completion has to be there. */
function isToComplete({ slot, userData }: JoinedRequest): boolean {
  return slot !== undefined && userData !== 0n && (slot.sqe.flags & IOSQE_CQE_SKIP_SUCCESS) === 0;
}
