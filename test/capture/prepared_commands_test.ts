import { deepStrictEqual, equal } from "node:assert/strict";
import {
  COMMAND_BYTES,
  PreparedCommands,
  type RequestArguments,
} from "../../lib/capture/prepared_commands.ts";
import { COMMAND_LAYOUTS, type Slot } from "../../lib/kernel/request_commands.ts";
import { readPreparedRequest } from "../../lib/scan/prepared_request.ts";
import { NO_MEMORY } from "../../lib/uapi/argument.ts";
import { describeRequest } from "../../lib/uapi/op_info.ts";
import { opcodeNumber, OPCODES } from "../../lib/uapi/opcodes.ts";
import { type KernelName, RequestMachine, type Values } from "../scan/fake_requests.ts";
import { pseudoRandom, randomBytes } from "../uapi/layout.ts";

function read(machine: RequestMachine, opcode: number, command: Uint8Array): RequestArguments {
  const request: RequestArguments = { fields: { opcode }, known: {} };
  new PreparedCommands(machine.types).read(request, new DataView(command.buffer), 0);
  return request;
}

/** A request with these members, as it is told. */
function described(
  kernel: KernelName,
  name: string,
  { struct, values }: { struct: string; values: Values },
) {
  const machine = new RequestMachine(kernel);
  const opcode = opcodeNumber(`IORING_OP_${name}`)!;
  const request = machine.request({ opcode, command: [struct, values] });
  const command = machine.program.memory.read(request.address, COMMAND_BYTES).slice();
  const { fields, known } = read(machine, opcode, command);
  const { info, missing } = describeRequest(fields, NO_MEMORY, { known });
  return { info, missing: missing.map(({ path }) => path) };
}

Deno.test("COMMAND_LAYOUTS has every opcode", () => {
  equal(COMMAND_LAYOUTS.length, OPCODES.length);
});

Deno.test("PreparedCommands.read() gives what a scan reads of the same command", () => {
  const next = pseudoRandom(9);
  for (const kernel of ["5.10", "6.1", "6.18", "7.1"] as const) {
    const machine = new RequestMachine(kernel);
    for (const { number: opcode } of OPCODES) {
      const request = machine.request({ opcode });
      // But for the file, which a scan would follow.
      machine.write(request.address + 8n, randomBytes(next, COMMAND_BYTES - 8));
      machine.set(request, "opcode", opcode);
      const command = machine.program.memory.read(request.address, COMMAND_BYTES).slice();
      const { fields, known } = read(machine, opcode, command);
      const scanned = readPreparedRequest(request);
      // The rest may have changed since, so that a scan takes it back.
      const { kept, passing } = COMMAND_LAYOUTS[opcode]!;
      for (const slot of Object.keys({ ...kept, ...passing }) as Slot[]) {
        if (fields[slot] === undefined) continue;
        equal(fields[slot], scanned.fields[slot], `${slot} of ${opcode} on ${kernel}`);
      }
      for (const name of ["open_how", "epoll_event"] as const) {
        deepStrictEqual(known[name], scanned.known[name], `${name} of ${opcode} on ${kernel}`);
      }
    }
  }
});

Deno.test("PreparedCommands.read() takes the kernel's own flags back", () => {
  const poll = { struct: "io_poll", values: { events: 0x80000001n } };
  deepStrictEqual(described("6.18", "POLL_ADD", poll).info, {
    events: "POLLIN",
    flags: "IORING_POLL_ADD_MULTI",
  });
  // One that has neither multishot nor level triggering adds no bit for either.
  const old = { struct: "io_poll_iocb", values: { events: 1 } };
  deepStrictEqual(described("5.10", "POLL_ADD", old), {
    info: { events: "POLLIN" },
    missing: ["op_info.flags"],
  });
  const update = {
    struct: "io_poll_update",
    values: { old_user_data: 5, events: 0x80000004n, update_events: 1 },
  };
  deepStrictEqual(described("6.18", "POLL_REMOVE", update).info, {
    target_user_data: "0x5",
    events: "POLLOUT",
    flags: "IORING_POLL_ADD_MULTI | IORING_POLL_UPDATE_EVENTS",
  });
  const futex = { struct: "io_futex", values: { futex_flags: 0x82 } };
  equal(
    described("6.18", "FUTEX_WAIT", futex).info?.flags,
    "FUTEX2_SIZE_U32 | FUTEX2_NUMA | FUTEX2_PRIVATE",
  );
});

Deno.test("PreparedCommands.read() knows a length of 0 from one that is not there", () => {
  const advice = { struct: "io_fadvise", values: { offset: 4096, advice: 4 } };
  deepStrictEqual(described("6.18", "FADVISE", advice), {
    info: { offset: 4096, len: 0, advice: "POSIX_FADV_DONTNEED" },
    missing: [],
  });
});

Deno.test("PreparedCommands.read() takes merged flags for none only where there are none", () => {
  const read = (ki_flags: number) => {
    const values = { "kiocb.ki_flags": ki_flags, len: 64 };
    return described("5.10", "READ", { struct: "io_rw", values }).missing;
  };
  // 0x20000 is IOCB_DIRECT, of the open file.
  deepStrictEqual(read(0x20000).includes("op_info.flags"), false);
  // RWF_APPEND, or O_APPEND of the open file.
  deepStrictEqual(read(0x10).filter((path) => path === "op_info.flags").length, 1);
});
