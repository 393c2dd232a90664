import { opcodeNumber, opcodesOfCategory } from "./opcodes.ts";

/**
 * Opcodes that move data over a socket, or make or name one: all of the network but SHUTDOWN. READ
 * and WRITE on a socket are not among them: whether a file is a socket is not to be told from an
 * opcode.
 */
const NETWORK_OPCODES: ReadonlySet<number> = new Set(
  opcodesOfCategory("network").filter((opcode) => opcode !== opcodeNumber("IORING_OP_SHUTDOWN")),
);

/**
 * Whether a ring's requests go round seccomp: the filter judges system calls, and io_uring makes
 * none for these.
 *
 * @param opcodes The opcodes of the ring's requests, in any order.
 * @param seccompMode 0 (disabled), 1 (strict) or 2 (filter), as `seccomp.mode` in task_struct.
 * @returns true when a mode is set and at least one opcode is a network operation.
 */
export function classifyIoUring(opcodes: readonly number[], seccompMode: number): boolean {
  return seccompMode !== 0 && opcodes.some((opcode) => NETWORK_OPCODES.has(opcode));
}
