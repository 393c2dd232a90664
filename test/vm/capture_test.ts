import { deepStrictEqual, equal, ok } from "node:assert/strict";
import { type AnyRecord, differences } from "../live/capture.ts";
import { captureInVm } from "../live/vm_capture.ts";
import { LabUnavailableError } from "./run.ts";

/** What the hooks of each kernel are, the submit hook first. */
const KERNELS: readonly { name: string; submit: string; missing: string[] }[] = [
  {
    name: "5.10",
    submit: "io_uring_submit_sqe",
    missing: ["io_uring_req_failed", "io_uring_cqe_overflow"],
  },
  { name: "6.1", submit: "io_uring_submit_sqe", missing: [] },
  { name: "6.12", submit: "io_uring_submit_req", missing: [] },
  { name: "backports", submit: "io_uring_submit_req", missing: [] },
];
const MODES = ["all", "seccomp", "sqpoll-seccomp", "sqpoll-setuid", "preempt,2"];

for (const { name, submit, missing } of KERNELS) {
  Deno.test(`capture works on Linux ${name}`, async (t) => {
    let result;
    try {
      result = await captureInVm(name, MODES);
    } catch (error) {
      if (!(error instanceof LabUnavailableError)) throw error;
      await t.step({ name: `skipped: ${error.message}`, ignore: true, fn: () => {} });
      return;
    }
    const records: AnyRecord[] = result.events.trim().split("\n").map((line) => JSON.parse(line));
    const [start] = records;
    const end = records.at(-1);
    equal(start.coverage.hooks[0], submit, result.errors);
    deepStrictEqual(start.coverage.missing.map(({ hook }: AnyRecord) => hook), missing);

    // One run after another: each starts its user_data anew, so each has its own process.
    const runs = result.said.split(/^MODE (\S+)\n/m).slice(1);
    const said = new Map<string, AnyRecord[]>();
    for (let i = 0; i < runs.length; i += 2) {
      const lines = runs[i + 1]!.split("\n").filter((line) => line.startsWith("{"));
      said.set(runs[i]!, lines.map((line) => JSON.parse(line)));
    }
    const eventsOf = (args: string) =>
      records.filter(({ type, process }) =>
        type === "IOUringEvent" && process.filename === "workload" && process.args === args
      );
    // A kernel without io_uring_req_failed does not show what it refuses before it runs.
    const shown = (requests: AnyRecord[]) =>
      missing.includes("io_uring_req_failed")
        ? requests.filter(({ res }) => res !== -22)
        : requests;
    for (const mode of MODES.slice(0, 4)) {
      deepStrictEqual(differences(shown(said.get(mode)!), eventsOf(mode)), [], mode);
    }
    const [seccomp] = eventsOf("seccomp");
    equal(seccomp.seccomp.mode, 2);
    const [polled] = eventsOf("sqpoll-seccomp");
    equal(polled.seccomp.mode, 2);
    const [given] = eventsOf("sqpoll-setuid");
    equal(given.process.euid, 1000);
    const [{ submitted }] = said.get("preempt,2") as [AnyRecord];
    const others = records.filter(({ type, process }) =>
      type === "IOUringEvent" && !process.args.startsWith("preempt")
    );
    equal(end.totals.events - others.length + end.totals.lost, submitted);
    ok(result.errors.includes("capture exited with 0"));
  });
}
