import { deepStrictEqual, equal, ok } from "node:assert/strict";
import {
  type AnyRecord,
  captureWorkload,
  differences,
  eventsOf,
  HoldingWorkload,
  live,
  RunningCapture,
  Workload,
} from "./capture.ts";
import { checkHeldRings } from "./held_rings.ts";
import { checkSamples } from "./samples.ts";

/** Every opcode up to here was announced by `workload all` on this kernel, or is newer than it. */
live("capture sees every opcode once, with its arguments and result", async () => {
  const { events, announced } = await captureWorkload({
    capture: ["--results"],
    workload: ["all"],
    hostWide: true,
  });
  deepStrictEqual(differences(announced, events), []);
  equal(events.length, announced.length);
  for (const { process } of events) {
    equal(process.filename, "workload");
    equal(process.partial, undefined);
    equal(process.args, "all");
  }
});

live("capture counts exactly what was submitted", async () => {
  const { events, other, end } = await captureWorkload({ workload: ["nop", "20000", "20000"] });
  equal(events.length, other[0].submitted);
  equal(end.totals.events, other[0].submitted);
  equal(end.totals.lost, 0);
  equal(end.complete, true);
});

live("capture under a flood: sent is arrived and lost, exactly", async () => {
  const { events, records, other, end, nops } = await captureWorkload({
    capture: ["--ring-buffer", "256K"],
    workload: ["nop", "1000000", "0"],
  });
  equal(end.totals.events + end.totals.lost, other[0].submitted);
  equal(nops, end.totals.events);
  const told = records.filter(({ phase }) => phase === "lost")
    .reduce((sum, { lost }) => sum + lost.count, 0);
  equal(told, end.totals.lost);
  equal(end.complete, end.totals.lost === 0);
  ok(events.every(({ process }: AnyRecord) => process.partial === undefined));
});

live("capture counts what a real-time submitter's interruptions cost, exactly", async () => {
  const { other, end, nops } = await captureWorkload({ workload: ["preempt", "0.5"] });
  equal(nops + end.totals.lost, other[0].submitted);
  equal(end.totals.events, nops);
});

for (const results of [[], ["--results"]]) {
  const name = "capture keeps what is rare under a flood of NOPs, each ring before its requests";
  live([name, ...results].join(", "), async () => {
    const flood = await Workload.prepare("nop", "0", "0");
    const ticks = await Workload.prepare("ticks", "500");
    const capture = await RunningCapture.start("--ring-buffer", "1M", ...results);
    await flood.start();
    const { other } = await ticks.run();
    const rings = await Workload.prepare("rings", "20");
    await rings.run();
    await flood.kill();
    const { records } = await capture.stop();

    const arrived = eventsOf(records, ({ process }) => process.pid === ticks.pid);
    equal(arrived.length, other[0].submitted);
    ok(arrived.every(({ opcode }) => opcode === "IORING_OP_OPENAT"));
    for (const { pid } of [flood, ticks, rings]) {
      const known = new Set<string>();
      for (const { type, ctx_addr, pid: owner, process, io_uring } of records) {
        if (type === "IOUringEntry" && owner === pid) known.add(ctx_addr);
        if (type === "IOUringEvent" && process.pid === pid) ok(known.has(io_uring.ctx));
      }
      ok(known.size > 0);
    }
    const foreign = records.filter(({ classification }) =>
      classification?.rules.some(({ id }: AnyRecord) => id === "foreign-ring")
    );
    deepStrictEqual(foreign, []);
  });
}

live("capture says that a seccomp filter was gone around", async () => {
  const { events, announced } = await captureWorkload({
    capture: ["--results"],
    workload: ["seccomp"],
  });
  deepStrictEqual(differences(announced, events), []);
  const [event] = events;
  deepStrictEqual(event.seccomp, { mode: 2, filters: 1 });
  equal(event.op_info.path, "/etc/shadow");
  ok(event.result.res >= 0);
  ok(event.classification.suspicious);
});

live("capture takes seccomp of a polled ring from the process", async () => {
  const { events } = await captureWorkload({ workload: ["sqpoll-seccomp"] });
  const [event] = events;
  equal(event.io_uring.sq_thread, true);
  deepStrictEqual(event.seccomp, { mode: 2, filters: 1 });
  equal(event.process.comm, "workload");
});

live("capture tells the process's credentials from the polled ring's", async () => {
  const { events } = await captureWorkload({ workload: ["sqpoll-setuid"] });
  const [event] = events;
  equal(event.process.euid, 1000);
  deepStrictEqual(event.io_uring.cred, { uid: 0, euid: 0 });
  equal(event.process.cap_effective, "");
});

live("capture tells a personality", async () => {
  const { events, records } = await captureWorkload({ workload: ["personality"] });
  const [event] = events;
  equal(event.process.uid, 1000);
  equal(event.io_uring.personality, 1);
  deepStrictEqual(event.io_uring.cred, { uid: 0, euid: 0 });
  ok(records.some(({ operation }) => operation === "IORING_REGISTER_PERSONALITY"));
});

live("capture gives a forked child its own pid and its parent's executable", async () => {
  const { events, other } = await captureWorkload({ workload: ["fork"], hostWide: true });
  const [event] = events;
  const { child, parent } = other[0];
  equal(event.process.pid, child);
  equal(event.process.ppid, parent);
  ok(event.process.binary_path.endsWith("/workload"));
});

live("capture is right about linked, drained, refused and multishot requests", async () => {
  const { events, records, announced } = await captureWorkload({
    capture: ["--results"],
    workload: ["kinds"],
  });
  deepStrictEqual(differences(announced, events), []);
  const refused = events.find(({ io_uring }) => io_uring.rejected === true);
  equal(refused.op_info.path, "/etc/group");
  ok(refused.unverified.includes("op_info.path"));
  const accepted = records.filter(({ opcode }) => opcode === "IORING_OP_ACCEPT");
  deepStrictEqual(accepted.map(({ type }) => type), [
    "IOUringEvent",
    "IOUringResult",
    "IOUringResult",
  ]);
  const ports = accepted.slice(0, 2).map(({ op_info }) => op_info.port);
  ok(ports[0] > 0 && ports[1] > 0 && ports[0] !== ports[1]);
  equal(accepted[2].result.errno, "EINVAL");
});

live("capture follows ACCEPT without --results", async () => {
  const { records } = await captureWorkload({ workload: ["kinds"] });
  const accepted = records.filter(({ opcode }) => opcode === "IORING_OP_ACCEPT");
  equal(accepted.length, 3);
  equal(accepted[0].op_info.addr, "127.0.0.1");
  const others = records.filter(({ type, opcode, io_uring }) =>
    type === "IOUringEvent" && opcode !== "IORING_OP_ACCEPT" && io_uring.rejected !== true
  );
  ok(others.every(({ result }) => result === undefined));
});

live("capture follows completions that overflowed", async () => {
  const { events, other } = await captureWorkload({
    capture: ["--results"],
    workload: ["overflow"],
  });
  equal(events.length, other[0].submitted);
  ok(events.every(({ result }) => result?.res === 0));
});

live("capture makes an event of odd arguments all the same", async () => {
  const { events, announced } = await captureWorkload({
    capture: ["--results"],
    workload: ["odd"],
  });
  deepStrictEqual(differences(announced, events), []);
  equal(events[0].process.comm, "ev\u001b[31mil\n");
  for (const index of [1, 2, 5]) ok(events[index].missing.includes("op_info.path"), `${index}`);
});

for (
  const [mode, what] of [
    ["long", "two of the longest paths, and what comes behind them"],
    ["opened", "which files were opened, whatever their paths say"],
    ["moved", "where processes and files have gone since"],
    ["message", "a result that is the request's own, not what another ring says"],
  ] as const
) {
  live(`capture tells ${what}`, async () => {
    const { events, announced } = await captureWorkload({
      capture: ["--results"],
      workload: [mode],
    });
    ok(announced.length > 0);
    deepStrictEqual(differences(announced, events), []);
  });
}

live("capture names who was accepted into a slot of the ring", async () => {
  for (const capture of [[], ["--results"]]) {
    const { events, announced } = await captureWorkload({ capture, workload: ["direct"] });
    deepStrictEqual(differences(announced, events), []);
  }
});

live("capture takes no credentials from the request before", async () => {
  const { events, announced } = await captureWorkload({ workload: ["stale"] });
  deepStrictEqual(differences(announced.map(({ res: _, ...rest }) => rest), events), []);
  for (const { io_uring, classification } of events) {
    equal(io_uring.cred, undefined);
    ok(!classification?.rules.some(({ id }: AnyRecord) => id === "personality-switch"));
  }
});

live("capture names an executable that is in no directory", async () => {
  const { events: [event] } = await captureWorkload({ workload: ["fileless"] });
  equal(event.process.binary_path, "/memfd:agent");
  equal(event.process.binary_deleted, true);
  equal(event.process.secureexec, "FILELESS_EXEC");
  ok(!(event.missing ?? []).includes("process.binary_path"));
});

live("capture says from when on an executable is gone", async () => {
  const { events, announced } = await captureWorkload({ workload: ["vanish", "self"] });
  deepStrictEqual(differences(announced.map(({ res: _, ...rest }) => rest), events), []);
  equal(events[0].process.binary_deleted, undefined);
});

live("capture reproduces the model's five events", async () => {
  const { events, announced } = await captureWorkload({ workload: ["samples"] });
  deepStrictEqual(differences(announced.map(({ res: _, ...rest }) => rest), events), []);
  checkSamples(events);
});

live("capture filters by opcode, pid and user in the kernel", async () => {
  const byOpcode = await captureWorkload({
    capture: ["--opcode", "connect", "--opcode", "IORING_OP_STATX"],
    workload: ["samples"],
  });
  deepStrictEqual(byOpcode.events.map(({ opcode }) => opcode), [
    "IORING_OP_CONNECT",
    "IORING_OP_STATX",
  ]);
  ok(byOpcode.end.totals.filtered >= 3);
  const byPid = await captureWorkload({
    capture: ["-p", String(Deno.pid)],
    workload: ["samples"],
    hostWide: true,
  });
  equal(byPid.end.totals.events, 0);
  ok(byPid.end.totals.filtered >= 5);
});

live(
  "capture takes UNKNOWN for the opcodes without a name, as a flag and in a config",
  async () => {
    const config = await Deno.makeTempFile({ suffix: ".yaml" });
    await Deno.writeTextFile(config, "event_filter: { opcode: [UNKNOWN] }\n");
    for (const capture of [["--opcode", "unknown"], ["-c", config]]) {
      const { events, end } = await captureWorkload({ capture, workload: ["all"] });
      deepStrictEqual(events.map(({ io_uring }) => io_uring.opcode_number), [200], capture[0]);
      ok(end.totals.filtered > 50);
    }
    await Deno.remove(config);
  },
);

live("capture lists rings that are open already, and those that hide", async () => {
  const workload = await HoldingWorkload.start("hold");
  const { records } = await (await RunningCapture.start()).stop();
  await workload.stop();
  checkHeldRings(records, workload.said);
});

live("capture walks through many rings of one task, each once", async () => {
  const workload = await HoldingWorkload.start("hold-many", "300");
  const { records, errors } =
    await (await RunningCapture.start("-p", String(workload.said.holding)))
      .stop();
  await workload.stop();
  const rings = records.filter(({ type }) => type === "IOUringEntry");
  equal(rings.length, 300, errors);
  ok(rings.every(({ found_by }) => found_by.includes("tctx")));
  equal(records.at(-1).totals.lost, 0);
});

live("capture says of a new ring that nothing went round a filter yet", async () => {
  const { records } = await captureWorkload({ workload: ["samples"] });
  const ring = records.find(({ type, found_by }) =>
    type === "IOUringEntry" && found_by.includes("create")
  );
  equal(ring.creator_uid, 0);
  equal(ring.bypasses_seccomp, false);
  ok(!(ring.missing ?? []).some((path: string) => /seccomp|pending/.test(path)));
});

live("capture names no descriptor of a new ring that has none", async () => {
  const capture = await RunningCapture.start();
  const workload = await HoldingWorkload.start("hold");
  const { records } = await capture.stop();
  await workload.stop();
  const { holding: pid, bare } = workload.said;
  const owners = records.filter((it) => it.type === "IOUringEntry" && it.pid === pid)
    .flatMap(({ owners }) => owners);
  equal(owners.filter(({ fd }) => fd === -1).length, bare ? 1 : 0);
});

live("capture stops after a number of records, and after a time", async () => {
  const workload = await Workload.prepare("samples");
  const capture = await RunningCapture.start("-p", String(workload.pid), "-n", "2");
  await workload.run();
  const { records, code } = await capture.stop();
  equal(code, 0);
  equal(records.at(-1).phase, "end");
  equal(records.filter(({ type }) => type === "IOUringEvent").length, 2);
});

live("capture filters by as many users as a config has room for", async () => {
  const config = await Deno.makeTempFile({ suffix: ".yaml" });
  try {
    const others = Array.from({ length: 60_000 }, (_, i) => 100_000 + i);
    const list = JSON.stringify([...others, 0]);
    await Deno.writeTextFile(config, `process_filter:\n  uid: ${list}\n  euid: ${list}\n`);
    const { events } = await captureWorkload({
      capture: ["--config", config],
      workload: ["samples"],
    });
    equal(events.length, 5);
  } finally {
    await Deno.remove(config);
  }
});
