import type { RuleCondition } from "../config/rule.ts";
import { arrayOf, type Fields, fieldsOf } from "./fields.ts";
import type { RequestView } from "./request_view.ts";

/**
 * What few requests have, as bits: most conditions of rules need one of these, and are not asked of
 * a request that has none.
 */

/** A seccomp filter judges its process. */
export const SECCOMP = 1;
/** Its process may be a stranger to the ring. */
export const STRANGER = 2;
const REJECTED = 4;
const CREDENTIALS = 8;
const SQE_FLAGS = 16;
const RESULT = 32;
/** It may be on a socket or a pipe, or name an address. */
const CONNECTED = 64;
/** Requests before it are remembered. */
export const EARLIER = 128;
/** How many sets of facts there are, and of those that a record alone has. */
export const MAX_FACTS = 256;
export const RECORD_FACTS = 4;

/** The facts without which a condition does not hold. */
export function factsNeeded(condition: RuleCondition): number {
  const { seccomp, foreign, inherited, rejected, other_credentials, sqe_flags, after } = condition;
  const { errno = [], names_peer, address = [], port = [], target } = condition;
  let facts = 0;
  if (seccomp === true) facts |= SECCOMP;
  if (foreign === true || inherited === true) facts |= STRANGER;
  if (rejected === true) facts |= REJECTED;
  if (other_credentials === true) facts |= CREDENTIALS;
  if (sqe_flags !== undefined) facts |= SQE_FLAGS;
  if (errno.length > 0) facts |= RESULT;
  if (names_peer === true || address.length > 0 || port.length > 0) facts |= CONNECTED;
  if (target !== undefined && !target.includes("file") && !target.includes("unknown")) {
    facts |= CONNECTED;
  }
  if (after !== undefined) facts |= EARLIER;
  return facts;
}

/** The facts of one request of a record, without those of the record. */
export function requestFacts({ request, info }: RequestView): number {
  const { io_uring, result, sqe_flags } = request;
  const uring = fieldsOf(io_uring);
  let facts = 0;
  if (uring.rejected === true) facts |= REJECTED;
  if (hasOtherCredentials(request)) facts |= CREDENTIALS;
  if (arrayOf(sqe_flags ?? uring.sqe_flags).length > 0) facts |= SQE_FLAGS;
  if (result !== undefined) facts |= RESULT;
  const { addr, port, target, target_in } = info;
  if (
    addr !== undefined || port !== undefined || target !== undefined || target_in !== undefined
  ) facts |= CONNECTED;
  return facts;
}

/** Whether a request runs with credentials that are not its process's. */
export function hasOtherCredentials(request: Fields): boolean {
  const { personality, cred } = fieldsOf(request.io_uring ?? request);
  return cred !== undefined || typeof personality === "number" && personality !== 0;
}
