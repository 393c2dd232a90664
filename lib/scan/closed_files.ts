import { IOSQE_FIXED_FILE } from "../uapi/ring_flags.ts";
import type { JoinedRequest } from "./ring_requests.ts";

/** `IORING_FILE_INDEX_ALLOC`: the kernel looks for a free slot, and the result says which. */
const ANY_SLOT = 0xffffffff;
const CLOSE = 19;
/** ACCEPT, OPENAT, OPENAT2, SOCKET: a result that is no error is a descriptor, or made for a slot. */
const OPENING: ReadonlySet<number> = new Set([13, 18, 28, 45]);

/**
 * The finished requests whose descriptor stands for no file or for another one by now, because the
 * ring has closed it since, or was given the same number for a new file.
 *
 * @param history Finished requests, oldest first.
 */
export function ofClosedFiles(history: readonly JoinedRequest[]): ReadonlySet<JoinedRequest> {
  const gone = new Set<string>();
  const found = new Set<JoinedRequest>();
  for (const request of history.toReversed()) {
    // Without its slot, a request's place among the others is not known.
    const sqe = request.slot?.sqe;
    if (sqe === undefined) continue;
    const isFixed = (sqe.flags & IOSQE_FIXED_FILE) !== 0;
    if (gone.has(isFixed ? slot(sqe.fd) : descriptor(sqe.fd))) found.add(request);
    if (sqe.opcode === CLOSE && request.results.at(-1) === 0) {
      gone.add(sqe.fileIndex > 0 ? slot(sqe.fileIndex - 1) : descriptor(sqe.fd));
      found.add(request);
    } else if (OPENING.has(sqe.opcode)) {
      for (const result of request.results.filter((result) => result >= 0)) {
        if (sqe.fileIndex === 0) gone.add(descriptor(result));
        else gone.add(slot(sqe.fileIndex === ANY_SLOT ? result : sqe.fileIndex - 1));
      }
    }
  }
  return found;
}

function descriptor(fd: number): string {
  return `fd ${fd}`;
}

function slot(index: number): string {
  return `slot ${index}`;
}
