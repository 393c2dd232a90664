import assert from "node:assert/strict";
import { ofClosedFiles } from "../../lib/scan/closed_files.ts";
import type { JoinedRequest } from "../../lib/scan/ring_requests.ts";
import { opcodeNumber } from "../../lib/uapi/opcodes.ts";
import type { Sqe } from "../../lib/uapi/sqe.ts";

const FIXED = 1;

function request(name: string, sqe: Partial<Sqe>, ...results: number[]): JoinedRequest {
  const opcode = opcodeNumber(`IORING_OP_${name}`)!;
  return {
    opcode,
    userData: 0n,
    slot: {
      position: 0,
      sqe: {
        opcode,
        flags: 0,
        ioprio: 0,
        fd: -1,
        off: 0n,
        addr: 0n,
        len: 0,
        opFlags: 0,
        userData: 0n,
        bufIndex: 0,
        personality: 0,
        fileIndex: 0,
        addr3: 0n,
        ...sqe,
      },
    },
    kiocb: undefined,
    state: undefined,
    results,
    more: false,
    byOrder: false,
    sources: new Set(),
  };
}

/** Which requests of a history no longer have the file that they worked on. */
function closed(...history: JoinedRequest[]): boolean[] {
  const found = ofClosedFiles(history);
  return history.map((request) => found.has(request));
}

Deno.test("ofClosedFiles() finds what came before a CLOSE of the same descriptor, and the CLOSE", () => {
  assert.deepEqual(
    closed(
      request("CONNECT", { fd: 5 }, 0),
      request("WRITE", { fd: 6 }, 5),
      request("CLOSE", { fd: 5 }, 0),
      request("WRITE", { fd: 5 }, 5),
    ),
    [true, false, true, false],
  );
});

Deno.test("ofClosedFiles() finds what came before the descriptor was given to a new file", () => {
  assert.deepEqual(
    closed(
      request("READ", { fd: 5 }, 1),
      request("OPENAT", { fd: -100 }, 5),
      request("READ", { fd: 5 }, 1),
    ),
    [true, false, false],
  );
  assert.deepEqual(
    closed(request("RECV", { fd: 7 }, 1), request("ACCEPT", { fd: 3 }, 6, 7)),
    [true, false],
  );
});

Deno.test("ofClosedFiles() tells slots of a ring's table from descriptors", () => {
  const slot = request("READ", { fd: 5, flags: FIXED }, 1);
  const descriptor = request("READ", { fd: 5 }, 1);
  const close = (sqe: Partial<Sqe>) => request("CLOSE", sqe, 0);
  assert.deepEqual(closed(slot, descriptor, close({ fd: 5 })), [false, true, true]);
  assert.deepEqual(closed(slot, descriptor, close({ fileIndex: 6 })), [true, false, true]);
  assert.deepEqual(closed(slot, request("OPENAT", { fileIndex: 6 }, 0)), [true, false]);
  const allocated = request("OPENAT", { fileIndex: 0xffffffff }, 5);
  assert.deepEqual(closed(slot, descriptor, allocated), [true, false, false]);
});

Deno.test("ofClosedFiles() takes a request that failed, or that has no slot, for nothing", () => {
  const read = request("READ", { fd: 5 }, 1);
  assert.deepEqual(closed(read, request("CLOSE", { fd: 5 }, -9)), [false, false]);
  assert.deepEqual(closed(read, request("OPENAT", {}, -2)), [false, false]);
  const forgotten = { ...request("CLOSE", { fd: 5 }, 0), slot: undefined };
  assert.deepEqual(closed(read, forgotten), [false, false]);
});
