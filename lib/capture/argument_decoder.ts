import { type ArgumentName, type ArgumentReader, NO_MEMORY } from "../uapi/argument.ts";
import { viewOf } from "../uapi/bytes.ts";
import { withDirectories } from "../uapi/directories.ts";
import { errnoName } from "../uapi/errno.ts";
import type { JsonObject } from "../uapi/json_value.ts";
import { describeRequest } from "../uapi/op_info.ts";
import { OPCODES } from "../uapi/opcodes.ts";
import { readSqe, SQE_SIZE } from "../uapi/sqe.ts";
import type { FileTable } from "./file_table.ts";
import {
  COMMAND_BYTES,
  type PreparedCommands,
  type RequestArguments,
} from "./prepared_commands.ts";
import type { RequestFacts } from "./request_facts.ts";
import type { Section } from "./sections.ts";
import type { SocketDecoder } from "./socket_decoder.ts";
import type { Wire } from "./wire.ts";

/** IOSQE_IO_DRAIN, IOSQE_IO_LINK, IOSQE_IO_HARDLINK: what runs before may change what it names. */
const WAITS = 0x0e;
const SEND = 26;
const SEND_ZC = 47;
/** Opcodes whose address, if any, the kernel tells with the request. */
const SENDS: ReadonlySet<number> = new Set([9, SEND, SEND_ZC, 48]);
const LINKAT = 39;
/** RENAMEAT, SYMLINKAT, LINKAT. */
const WITH_TWO_PATHS: ReadonlySet<number> = new Set([35, 38, LINKAT]);
const TIMEOUTS: ReadonlySet<number> = new Set([11, 15]);
const URING_CMDS: ReadonlySet<number> = new Set([46, 64]);

/** What the sections of one request hold. */
class Arguments implements RequestArguments {
  readonly facts: RequestFacts;
  fields: RequestArguments["fields"];
  readonly known: RequestArguments["known"] = {};
  /** The open file or socket that it works on, and the one that SPLICE and TEE read. */
  target: JsonObject | undefined = undefined;
  input: JsonObject | undefined = undefined;
  /** Another thread may have put something else in their place since. */
  isTargetUnsure = false;
  isInputUnsure = false;
  /** By the key of the descriptor. */
  directories: { [key: string]: JsonObject | undefined } | undefined = undefined;
  /** The slots are those of the ring's entry. */
  isFromEntry = false;
  /** User memory. */
  pages: CapturedPage[] | undefined = undefined;

  constructor(facts: RequestFacts) {
    this.facts = facts;
    this.fields = {
      opcode: facts.opcode,
      flags: facts.flags & 0xff,
      fd: facts.fd,
      bufIndex: facts.bufIndex,
    };
  }
}

/** Decodes the sections behind a request: what it is to do, and on what. */
export class ArgumentDecoder {
  readonly #files: FileTable;
  readonly #sockets: SocketDecoder;
  readonly #commands: PreparedCommands;
  /** Kinds of sections, looked up once. */
  readonly #kinds;

  constructor(
    wire: Wire,
    options: { files: FileTable; sockets: SocketDecoder; commands: PreparedCommands },
  ) {
    this.#files = options.files;
    this.#sockets = options.sockets;
    this.#commands = options.commands;
    const section = (name: string) => wire.at(`SECTION_${name}`);
    this.#kinds = {
      command: section("COMMAND"),
      path: section("PATH"),
      path2: section("PATH2"),
      name: section("NAME"),
      sockaddr: section("SOCKADDR"),
      timespec: section("TIMESPEC"),
      bytes: section("BYTES"),
      sqe: section("SQE"),
      cred: section("CRED"),
      file: section("FILE"),
      directory: section("DIRECTORY"),
      input: section("INPUT"),
      inputSocket: section("INPUT_SOCKET"),
      socket: section("SOCKET"),
      user: section("USER"),
      result: section("RESULT"),
      fault: section("FAULT"),
    };
  }

  /**
   * Adds to the facts what the sections of their request say.
   *
   * @throws {RangeError} A section is too short for what it is.
   */
  decode(sections: readonly Section[], facts: RequestFacts): void {
    const found = new Arguments(facts);
    for (let i = 0; i < sections.length; i++) this.#take(found, sections, i);
    describe(found);
  }

  /** Takes the section at `index`. */
  #take(found: Arguments, sections: readonly Section[], index: number): void {
    const kinds = this.#kinds;
    const { facts, known, fields } = found;
    const { opcode } = facts;
    const section = sections[index]!;
    const { kind, extra } = section;
    switch (kind) {
      case kinds.command:
        if (section.length < COMMAND_BYTES) break;
        this.#commands.read(found, section.view, section.at);
        // CLOSE and EPOLL_CTL keep their file's number themselves.
        if (OPCODES[opcode]?.worksOnFile === true) facts.fd ??= fields.fd;
        if (SENDS.has(opcode)) {
          // Nobody is named unless a section says who.
          known.sockaddr = { ok: true, bytes: new Uint8Array() };
          if (opcode === SEND || opcode === SEND_ZC) fields.off = 0n;
        }
        break;
      case kinds.path:
      case kinds.path2:
      case kinds.name:
        known[this.#nameOf(kind, opcode)] = {
          ok: true,
          bytes: section.bytes,
          unverified: extra !== 0,
        };
        break;
      case kinds.sockaddr:
        known.sockaddr = { ok: true, bytes: section.bytes, unverified: extra !== 0 };
        if (opcode === SEND || opcode === SEND_ZC) fields.off = undefined;
        break;
      case kinds.timespec:
        known.timespec = {
          ok: true,
          bytes: section.length === 8 ? timespecOf(section.bytes) : section.bytes,
        };
        if (TIMEOUTS.has(opcode)) fields.opFlags = extra;
        break;
      case kinds.bytes:
        fields.byteLength = viewOf(section.bytes).getBigUint64(0, true);
        break;
      case kinds.sqe:
        if (section.length >= SQE_SIZE) takeEntry(found, section);
        break;
      case kinds.cred: {
        const ids = viewOf(section.bytes);
        facts.cred = { uid: ids.getUint32(0, true), euid: ids.getUint32(4, true) };
        if (extra !== 0 && facts.personality === undefined) {
          facts.personality = extra;
          facts.doubt("io_uring.personality");
        }
        break;
      }
      case kinds.file:
        found.target = this.#files.target(section);
        found.isTargetUnsure = extra !== 0;
        break;
      case kinds.directory: {
        const opened = this.#files.target(section);
        // The first of two is the old path's, and that of the only path.
        found.directories = extra === 0
          ? { ...found.directories, dfd: opened, old_dfd: opened }
          : { ...found.directories, new_dfd: opened };
        break;
      }
      case kinds.socket:
        found.target = this.#sockets.target(sections, index);
        fields.socket = true;
        found.isTargetUnsure = extra !== 0;
        break;
      case kinds.input:
        found.input = this.#files.target(section);
        found.isInputUnsure = extra !== 0;
        break;
      case kinds.inputSocket:
        found.input = this.#sockets.target(sections, index);
        found.isInputUnsure = extra !== 0;
        break;
      case kinds.user: {
        const { bytes } = section;
        const address = viewOf(bytes).getBigUint64(0, true);
        (found.pages ??= []).push({ address, bytes: bytes.subarray(8) });
        break;
      }
      case kinds.result: {
        const res = viewOf(section.bytes).getInt32(0, true);
        const errno = errnoName(-res);
        facts.result = { res, ...(errno === undefined ? undefined : { errno }) };
        break;
      }
      case kinds.fault:
        switch (extra) {
          case kinds.path:
          case kinds.path2:
          case kinds.name:
            known[this.#nameOf(extra, opcode)] = { ok: false, reason: "fault" };
            break;
          case kinds.sockaddr:
            known.sockaddr = { ok: false, reason: "fault" };
            break;
        }
        break;
    }
  }

  /** The argument that a section with a string is. */
  #nameOf(kind: number, opcode: number): ArgumentName {
    if (kind === this.#kinds.name) return "name";
    if (kind === this.#kinds.path2) return "new_path";
    return WITH_TWO_PATHS.has(opcode) ? "old_path" : "path";
  }
}

/** Takes the ring's entry: all that there is, or what a command keeps no copy of. */
function takeEntry(found: Arguments, section: Section): void {
  const { facts, fields } = found;
  const sqe = readSqe(section.bytes, 0);
  if (facts.entryOnly) {
    found.fields = { ...sqe };
    found.isFromEntry = true;
    facts.fd = sqe.fd;
    facts.flags = sqe.flags;
    facts.doubt("io_uring.fd");
    facts.doubt("io_uring.sqe_flags");
    if (sqe.personality !== 0) {
      facts.personality = sqe.personality;
      facts.doubt("io_uring.personality");
    }
  } else if (URING_CMDS.has(facts.opcode)) {
    fields.addr = sqe.addr;
    fields.fileIndex = sqe.fileIndex;
  }
}

/** Puts what was found into words, and says what is missing and what is not sure. */
function describe(found: Arguments): void {
  const { facts, fields, known, target, input, pages } = found;
  const reader = pages === undefined ? NO_MEMORY : new CapturedPages(pages);
  const { info, missing, unverified } = describeRequest(fields, reader, { known });
  const waits = (facts.flags & WAITS) !== 0;
  facts.info = info as JsonObject | undefined;
  if (target !== undefined) (facts.info ??= {}).target = target;
  if (input !== undefined) {
    (facts.info ??= {}).target_in = input;
    if (found.isInputUnsure || waits) facts.doubt("op_info.target_in");
  }
  addDirectories(found);
  for (const { path } of missing) facts.miss(path);
  if (facts.result?.errno === "ENAMETOOLONG" && known.path?.ok === true) {
    // Only its beginning was taken.
    facts.miss("op_info.path");
  }
  for (const path of unverified) facts.doubt(path);
  if (facts.info?.fd !== undefined && facts.unverified?.includes("io_uring.fd") === true) {
    facts.doubt("op_info.fd");
  }
  if (found.isFromEntry) {
    for (const key in facts.info) {
      const path = `op_info.${key}`;
      if (facts.unverified?.includes(path) || facts.missing?.includes(path)) continue;
      facts.doubt(path);
    }
  } else if (target !== undefined && (found.isTargetUnsure || waits)) {
    facts.doubt("op_info.target");
  }
}

/** Says what the descriptors are open on that relative paths begin at. */
function addDirectories({ facts, directories }: Arguments): void {
  const { info, opcode } = facts;
  if (directories === undefined || info === undefined) return;
  const named = withDirectories(info, (key, fd) => {
    // Of LINKAT's old path the kernel side looks the descriptor up that it leads through.
    const isLookedUp = opcode === LINKAT && key === "old_dfd";
    return isLookedUp || info[key] === fd ? directories[key] : undefined;
  });
  facts.info = named.info;
  if ((facts.flags & WAITS) === 0) return;
  for (const key of named.added) facts.doubt(`op_info.${key}`);
}

/** Nanoseconds as a timespec. */
function timespecOf(bytes: Uint8Array): Uint8Array {
  const ns = viewOf(bytes).getBigUint64(0, true);
  return new Uint8Array(BigUint64Array.of(ns / 1_000_000_000n, ns % 1_000_000_000n).buffer);
}

/** Bytes of user memory. */
interface CapturedPage {
  readonly address: bigint;
  readonly bytes: Uint8Array;
}

/** User memory that was captured with the request. */
class CapturedPages implements ArgumentReader {
  readonly #pages: readonly CapturedPage[];

  constructor(pages: readonly CapturedPage[]) {
    this.#pages = pages;
  }

  path(address: bigint) {
    for (const page of this.#pages) {
      if (page.address !== address) continue;
      const end = page.bytes.indexOf(0);
      return { ok: true, bytes: end < 0 ? page.bytes : page.bytes.subarray(0, end) } as const;
    }
    return { ok: false, reason: "fault" } as const;
  }

  bytes(address: bigint, length: number) {
    for (const page of this.#pages) {
      const offset = address - page.address;
      if (offset >= 0n && offset + BigInt(length) <= BigInt(page.bytes.length)) {
        const at = Number(offset);
        return { ok: true, bytes: page.bytes.subarray(at, at + length) } as const;
      }
    }
    return { ok: false, reason: "fault" } as const;
  }
}
