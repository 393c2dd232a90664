import { listForEachEntry } from "../kernel/lists.ts";
import type { KernelObject, Program } from "../kernel/program.ts";
import { AF_UNIX } from "../uapi/socket_address.ts";

/** A socket waits for connections; its queue holds those that nobody has accepted yet. */
const TCP_LISTEN = 10;
/** A queue is bounded by the memory that it may take. */
const MAX_MESSAGES = 65_536;
/** `SCM_MAX_FD` */
const MAX_FILES = 253;

/** Whether the kernel's types tell what is in a unix socket's messages; not with CONFIG_UNIX=m. */
export function hasParkedFiles(program: Program): boolean {
  return program.has("unix_skb_parms", "fp") && program.has("scm_fp_list", "fp");
}

/**
 * Open files on their way through a unix socket (SCM_RIGHTS): sent, and not received. Nothing else
 * may hold them. Kernels since 6.7 refuse to send a ring (705318a99a13, in stable ones too).
 *
 * @param sock The `struct sock` of any socket.
 * @throws {MemoryFault | BrokenList | AbsentError} where a queue cannot be read.
 */
export function* parkedFiles(sock: KernelObject): Generator<KernelObject> {
  if (sock.number("__sk_common.skc_family") !== AF_UNIX) return;
  const isListening = sock.number("__sk_common.skc_state") === TCP_LISTEN;
  for (const message of messagesOf(sock)) {
    if (!isListening) yield* filesOf(message);
    else {
      const connection = message.tryDeref("sk");
      if (connection === undefined) continue;
      for (const sent of messagesOf(connection)) yield* filesOf(sent);
    }
  }
}

/** The `struct sk_buff`s of a socket's receive queue. */
function messagesOf(sock: KernelObject): Generator<KernelObject> {
  const entry = { type: "sk_buff", member: "next", limit: MAX_MESSAGES };
  return listForEachEntry(sock.program, sock.addressOf("sk_receive_queue"), entry);
}

/** `UNIXCB(skb).fp` */
function* filesOf(message: KernelObject): Generator<KernelObject> {
  const { program } = message;
  const list = program.object("unix_skb_parms", message.addressOf("cb")).tryDeref("fp");
  if (list === undefined) return;
  const count = Math.min(list.number("count"), MAX_FILES);
  for (let i = 0; i < count; i++) {
    const address = program.memory.readPointer(list.addressOf("fp") + BigInt(i * 8));
    if (address !== 0n) yield program.object("file", address);
  }
}
