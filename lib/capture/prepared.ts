import type { Btf } from "../kernel/btf.ts";
import { OPCODES } from "../uapi/opcodes.ts";
import {
  CANCEL_FD,
  CANCEL_OP,
  POLL_UPDATE_EVENTS,
  POLL_UPDATE_USER_DATA,
} from "../uapi/op_flags.ts";
import type { RequestFields } from "../uapi/request_fields.ts";

/** Bytes at the front of an `io_kiocb` that each opcode lays out in its own way. */
export const COMMAND_BYTES = 64;

type Mutable<T> = { -readonly [K in keyof T]: T[K] };
type Fields = Mutable<RequestFields>;
type Slot = Exclude<keyof RequestFields, "opcode" | "flags" | "compat" | "socket">;

/** Members of the command's struct by the slot of the SQE that they were made from. */
interface Layout {
  /** The struct; its earlier names follow. */
  readonly struct: readonly string[];
  readonly slots: { readonly [slot in Slot]?: string };
  /** What takes more than to copy a member. */
  readonly more?: (fields: Fields, member: (name: string) => bigint | undefined) => void;
}

const RW: Layout = {
  struct: ["io_rw"],
  slots: { off: "kiocb.ki_pos", addr: "addr", len: "len", opFlags: "flags" },
};
const SYNC: Layout = {
  struct: ["io_sync"],
  slots: { off: "off", len: "len", opFlags: "flags" },
};
const SEND: Layout = {
  struct: ["io_sr_msg"],
  slots: { len: "len", opFlags: "msg_flags", ioprio: "flags" },
};
const MESSAGE: Layout = {
  struct: ["io_sr_msg"],
  slots: { addr: "umsg", opFlags: "msg_flags", ioprio: "flags" },
};
const OPEN: Layout = {
  struct: ["io_open"],
  slots: { fd: "dfd", opFlags: "how.flags", len: "how.mode", fileIndex: "file_slot" },
};
const XATTR: Layout = {
  struct: ["io_xattr"],
  slots: { len: "ctx.size", opFlags: "ctx.flags" },
};
const SPLICE: Layout = {
  struct: ["io_splice"],
  slots: {
    off: "off_out",
    addr: "off_in",
    len: "len",
    opFlags: "flags",
    fileIndex: "splice_fd_in",
  },
};
const URING_CMD: Layout = {
  struct: ["io_uring_cmd"],
  slots: { off: "cmd_op", opFlags: "flags" },
};
const NOP: Layout = {
  struct: ["io_nop"],
  slots: { opFlags: "flags", len: "result", fd: "fd" },
};
const FUTEX: Layout = {
  struct: ["io_futex"],
  slots: { addr: "uaddr", off: "futex_val", addr3: "futex_mask" },
  more(fields, member) {
    // The kernel's own flags: the size as in futex2, FLAGS_SHARED where futex2 has PRIVATE.
    const flags = member("futex_flags");
    if (flags !== undefined) fields.fd = Number(flags & 3n) | ((flags & 0x10n) === 0n ? 128 : 0);
  },
};

const EPOLLONESHOT = 1n << 30n;
const EPOLLET = 1n << 31n;
const POLL_ADD_MULTI = 1 << 0;
const POLL_ADD_LEVEL = 1 << 3;
const O_CLOEXEC = 0o2000000n;
const FIXED_FD_NO_CLOEXEC = 1 << 0;

/** What io_*_prep() in io_uring/*.c makes of an SQE, at the index of the opcode. */
const LAYOUTS: { readonly [opcode: number]: Layout } = {
  0: NOP,
  1: RW,
  2: RW,
  3: SYNC,
  4: RW,
  5: RW,
  6: {
    struct: ["io_poll", "io_poll_iocb"],
    slots: {},
    more(fields, member) {
      // The kernel adds one-shot and edge where MULTI and LEVEL were not asked for.
      const events = member("events");
      if (events === undefined) return;
      fields.opFlags = Number(BigInt.asUintN(32, events & ~(EPOLLONESHOT | EPOLLET)));
      fields.len = ((events & EPOLLONESHOT) === 0n ? POLL_ADD_MULTI : 0) |
        ((events & EPOLLET) === 0n ? POLL_ADD_LEVEL : 0);
    },
  },
  7: {
    struct: ["io_poll_update", "io_poll_remove"],
    slots: { addr: "old_user_data", off: "new_user_data", opFlags: "events" },
    more(fields, member) {
      const events = member("update_events");
      const userData = member("update_user_data");
      fields.len = (events !== undefined && events !== 0n ? POLL_UPDATE_EVENTS : 0) |
        (userData !== undefined && userData !== 0n ? POLL_UPDATE_USER_DATA : 0);
      if (fields.opFlags !== undefined) {
        fields.opFlags &= Number(~(EPOLLONESHOT | EPOLLET) & 0xffffffffn);
      }
    },
  },
  8: SYNC,
  9: MESSAGE,
  10: MESSAGE,
  11: { struct: ["io_timeout"], slots: { off: "off" } },
  12: { struct: ["io_timeout_rem"], slots: { addr: "addr", opFlags: "flags" } },
  13: {
    struct: ["io_accept"],
    slots: {
      addr: "addr",
      off: "addr_len",
      opFlags: "flags",
      ioprio: "iou_flags",
      fileIndex: "file_slot",
    },
  },
  14: {
    struct: ["io_cancel"],
    slots: { addr: "addr", opFlags: "flags" },
    more(fields, member) {
      const flags = fields.opFlags ?? 0;
      const fd = member("fd");
      if ((flags & CANCEL_FD) !== 0 && fd !== undefined) fields.fd = Number(BigInt.asIntN(32, fd));
      const opcode = member("opcode");
      if ((flags & CANCEL_OP) !== 0 && opcode !== undefined) fields.len = Number(opcode);
    },
  },
  15: { struct: ["io_timeout"], slots: {} },
  16: { struct: ["io_connect"], slots: { addr: "addr", off: "addr_len" } },
  17: { struct: ["io_sync"], slots: { off: "off", addr: "len", len: "mode" } },
  18: OPEN,
  19: { struct: ["io_close"], slots: { fd: "fd", fileIndex: "file_slot" } },
  20: {
    struct: ["io_rsrc_update", "io_files_update"],
    slots: { addr: "arg", len: "nr_args", off: "offset" },
  },
  21: { struct: ["io_statx"], slots: { fd: "dfd", len: "mask", opFlags: "flags" } },
  22: RW,
  23: RW,
  24: { struct: ["io_fadvise"], slots: { off: "offset", addr: "len", opFlags: "advice" } },
  25: { struct: ["io_madvise"], slots: { addr: "addr", off: "len", opFlags: "advice" } },
  26: SEND,
  27: SEND,
  28: OPEN,
  29: {
    struct: ["io_epoll"],
    slots: { fd: "epfd", off: "fd", len: "op" },
  },
  30: SPLICE,
  31: {
    struct: ["io_provide_buf"],
    slots: { fd: "nbufs", addr: "addr", len: "len", bufIndex: "bgid", off: "bid" },
  },
  32: { struct: ["io_provide_buf"], slots: { fd: "nbufs", bufIndex: "bgid" } },
  33: SPLICE,
  34: { struct: ["io_shutdown"], slots: { len: "how" } },
  35: {
    struct: ["io_rename"],
    slots: { fd: "old_dfd", len: "new_dfd", opFlags: "flags" },
  },
  36: { struct: ["io_unlink"], slots: { fd: "dfd", opFlags: "flags" } },
  37: { struct: ["io_mkdir"], slots: { fd: "dfd", len: "mode" } },
  38: { struct: ["io_link", "io_symlink"], slots: { fd: "new_dfd" } },
  39: {
    struct: ["io_link", "io_hardlink"],
    slots: { fd: "old_dfd", len: "new_dfd", opFlags: "flags" },
  },
  40: {
    struct: ["io_msg"],
    slots: {
      off: "user_data",
      len: "len",
      addr: "cmd",
      addr3: "src_fd",
      fileIndex: "dst_fd",
      opFlags: "flags",
    },
  },
  41: XATTR,
  42: XATTR,
  43: XATTR,
  44: XATTR,
  45: {
    struct: ["io_socket"],
    slots: { fd: "domain", off: "type", len: "protocol", fileIndex: "file_slot" },
  },
  46: URING_CMD,
  47: SEND,
  48: MESSAGE,
  49: RW,
  50: { struct: ["io_waitid"], slots: { len: "which", fd: "upid", fileIndex: "options" } },
  51: FUTEX,
  52: FUTEX,
  53: {
    struct: ["io_futex"],
    slots: { addr: "uaddr", len: "futex_nr" },
  },
  54: {
    struct: ["io_fixed_install"],
    slots: {},
    more(fields, member) {
      const flags = member("o_flags");
      if (flags === undefined) return;
      fields.opFlags = (flags & O_CLOEXEC) === 0n ? FIXED_FD_NO_CLOEXEC : 0;
    },
  },
  55: { struct: ["io_ftrunc"], slots: { off: "len" } },
  56: { struct: ["io_bind"], slots: { off: "addr_len" } },
  57: { struct: ["io_listen"], slots: { len: "backlog" } },
  58: { struct: ["io_recvzc"], slots: { len: "len", opFlags: "msg_flags", ioprio: "flags" } },
  59: { struct: ["io_epoll_wait"], slots: { len: "maxevents" } },
  60: RW,
  61: RW,
  62: { struct: ["io_pipe"], slots: { opFlags: "flags", fileIndex: "file_slot" } },
  63: NOP,
  64: URING_CMD,
};

/** Slots that are 64 bits wide; the others are numbers. */
const WIDE: ReadonlySet<Slot> = new Set(["off", "addr", "addr3", "byteLength"]);

/** One member's place in a command. */
interface Place {
  readonly offset: number;
  readonly size: number;
  readonly signed: boolean;
}

/** A slot, and the member that it was made from. */
interface SlotPlace {
  readonly slot: Slot;
  readonly isWide: boolean;
  readonly place: Place;
}

/** One opcode's layout on this kernel. */
class PreparedCommand {
  readonly #layout: Layout;
  readonly #slots: readonly SlotPlace[];
  readonly #find: (name: string) => Place | undefined;
  readonly #places = new Map<string, Place | undefined>();

  constructor(layout: Layout, find: (name: string) => Place | undefined) {
    this.#layout = layout;
    this.#find = find;
    const slots: SlotPlace[] = [];
    for (const [name, member] of Object.entries(layout.slots)) {
      const slot = name as Slot;
      const place = find(member);
      if (place !== undefined) slots.push({ slot, isWide: WIDE.has(slot), place });
    }
    this.#slots = slots;
  }

  read(fields: Fields, view: DataView, at: number): void {
    for (const { slot, isWide, place } of this.#slots) {
      // Numbers where they fit, so that the common members cost no bigint.
      (fields as Record<string, unknown>)[slot] = isWide
        ? bigintAt(view, at, place)
        : numberAt(view, at, place, slot);
    }
    this.#layout.more?.(fields, (name) => {
      const place = this.#placeOf(name);
      return place === undefined ? undefined : bigintAt(view, at, place);
    });
  }

  /** The bytes from a member on, as a view of the command. */
  bytes(command: Uint8Array, name: string, length: number): Uint8Array | undefined {
    const place = this.#placeOf(name);
    if (place === undefined || place.offset + length > command.length) return undefined;
    return command.subarray(place.offset, place.offset + length);
  }

  #placeOf(name: string): Place | undefined {
    let place = this.#places.get(name);
    if (place === undefined && !this.#places.has(name)) {
      place = this.#find(name);
      this.#places.set(name, place);
    }
    return place;
  }
}

/** Reads prepared commands as this kernel lays them out. */
export class PreparedCommands {
  readonly #commands: readonly (PreparedCommand | undefined)[];

  /** @param btf The kernel's types. */
  constructor(btf: Btf) {
    this.#commands = OPCODES.map(({ number }) => {
      const layout = LAYOUTS[number];
      const struct = layout?.struct.find((name) => btf.struct(name) !== undefined);
      if (layout === undefined || struct === undefined) return undefined;
      return new PreparedCommand(layout, (name) => placeOf(btf, struct, name));
    });
  }

  /** Fills the slots that the command at `at`, the front of the request, holds. */
  read(fields: Fields, view: DataView, at: number): void {
    this.#commands[fields.opcode]?.read(fields, view, at);
  }

  /** `length` bytes from a member of the opcode's struct on; undefined where it has none. */
  bytes(
    opcode: number,
    command: Uint8Array,
    member: { readonly name: string; readonly length: number },
  ): Uint8Array | undefined {
    return this.#commands[opcode]?.bytes(command, member.name, member.length);
  }
}

/** The place of `name` (`"kiocb.ki_pos"`), undefined where there is none within a command. */
function placeOf(btf: Btf, struct: string, name: string): Place | undefined {
  let type = btf.struct(struct);
  let offset = 0;
  let place: Place | undefined;
  for (const part of name.split(".")) {
    const member = type?.members.get(part);
    if (member === undefined || member.bitWidth !== 0) return undefined;
    offset += member.bitOffset / 8;
    const shape = btf.shape(member.typeId);
    type = shape.kind === "struct" ? btf.structOfId(shape.id) : undefined;
    const size = btf.sizeOf(member.typeId);
    place = { offset, size, signed: shape.kind === "int" && shape.signed };
  }
  return place !== undefined && place.offset + place.size <= COMMAND_BYTES ? place : undefined;
}

function bigintAt(view: DataView, at: number, { offset, size, signed }: Place): bigint {
  if (size === 8) return view.getBigUint64(at + offset, true);
  return BigInt.asUintN(64, BigInt(intAt(view, at + offset, size, signed)));
}

function numberAt(
  view: DataView,
  at: number,
  { offset, size, signed }: Place,
  slot: Slot,
): number {
  // A slot of 32 bits: what the kernel keeps wider (a length of splice) fits it all the same.
  const value = intAt(view, at + offset, Math.min(size, 4), signed);
  if (slot === "fd") return value | 0;
  return slot === "bufIndex" || slot === "ioprio" ? value & 0xffff : value >>> 0;
}

function intAt(view: DataView, offset: number, size: number, signed: boolean): number {
  switch (size) {
    case 1:
      return signed ? view.getInt8(offset) : view.getUint8(offset);
    case 2:
      return signed ? view.getInt16(offset, true) : view.getUint16(offset, true);
    default:
      return signed ? view.getInt32(offset, true) : view.getUint32(offset, true);
  }
}
