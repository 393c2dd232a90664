/**
 * Opcodes that do what a network system call does: SENDMSG, RECVMSG, ACCEPT, CONNECT, SEND, RECV,
 * SOCKET, SEND_ZC, SENDMSG_ZC, BIND, LISTEN, RECV_ZC. READ and WRITE on a socket are not among
 * them: whether a file is a socket is not to be told from an opcode.
 */
const NETWORK_OPCODES: ReadonlySet<number> = new Set([
  9,
  10,
  13,
  16,
  26,
  27,
  45,
  47,
  48,
  56,
  57,
  58,
]);

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
