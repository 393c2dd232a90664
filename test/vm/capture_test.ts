/**
 * The live capture on the kernels of the lab, compared with what the workload says in the guest.
 */
import { deepStrictEqual, equal, ok } from "node:assert/strict";
import { type AnyRecord, differences, eventsOf } from "../live/capture.ts";
import { checkHeldRings } from "../live/held_rings.ts";
import { checkSamples } from "../live/samples.ts";
import { guestParts, runInGuest } from "./guest_job.ts";
import { kernelsToTest } from "./kernels.ts";
import { labTest } from "./lab_case.ts";

interface LabCapture {
  readonly name: string;
  /** The submit hook. */
  readonly submit: string;
  /** The programs on it. */
  readonly programs: readonly string[];
  /** What this kernel lacks of the hooks. */
  readonly missing: readonly string[];
}

/** What is known of the lab's own kernels. */
const KNOWN: readonly LabCapture[] = [
  {
    name: "5.10",
    submit: "io_uring_submit_sqe",
    programs: ["submit"],
    missing: [
      "io_uring_req_failed",
      "io_uring_cqe_overflow",
      "io_uring_complete: req",
      "io_rw.flags",
    ],
  },
  { name: "6.1", submit: "io_uring_submit_sqe", programs: ["submit_typed"], missing: [] },
  { name: "6.12", submit: "io_uring_submit_req", programs: ["submit_typed"], missing: [] },
  {
    name: "backports",
    submit: "io_uring_submit_req",
    programs: ["submit_typed", "submit_again_typed"],
    missing: [],
  },
];
const KERNELS = kernelsToTest(...KNOWN.map(({ name }) => name));
/** Instructions that the verifier may follow in one program, of the million that it allows. */
const MOST_INSTRUCTIONS = 250_000;
/** Each is one run; all of their requests are announced one by one, or counted. */
const ANNOUNCED = [
  "all",
  "seccomp",
  "sqpoll-seccomp",
  "sqpoll-setuid",
  "samples",
  "kinds",
  "personality",
  "fork",
  "odd",
  "long",
  "opened",
  "moved",
  "stale",
  "message",
];
/** EFAULT, EINVAL and ENAMETOOLONG, which none of these requests comes to later. */
const REFUSALS = [-14, -22, -36];
const COUNTED = ["overflow", "preempt,2"];

const CAPTURE = await Deno.readTextFile(new URL("capture_job.sh", import.meta.url));

/** A test in a guest of a kernel. */
function guestTest(name: string, kernel: string, check: () => Promise<void>): Promise<void> {
  return labTest(name, () => guestParts(kernel), check);
}

function linesOf(text: string): AnyRecord[] {
  return text.split("\n").filter((line) => line.startsWith("{")).map((line) => JSON.parse(line));
}

for (const name of KERNELS) {
  await guestTest(`capture works on Linux ${name}`, name, async () => {
    const modes = [...ANNOUNCED, ...COUNTED].join(" ");
    const report = await runInGuest(name, { script: `MODES="${modes}"\n${CAPTURE}` });
    const errors = report.get("errors");
    const records = linesOf(report.get("told") ?? "");
    const [start] = records;
    const end = records.at(-1);
    const known = KNOWN.find((kernel) => kernel.name === name);
    const missing: string[] = start.coverage.missing.map(({ hook }: AnyRecord) => hook);
    if (known !== undefined) {
      equal(start.coverage.hooks[0], known.submit, errors);
      deepStrictEqual(missing, known.missing);
    }
    ok(errors!.includes("capture exited with 0"), errors);
    const followed = Array.from(
      errors!.matchAll(/^verifier: (\w+): processed (\d+) insns/gm),
      ([, program, count]) => [program!, Number(count)] as const,
    );
    const names = followed.map(([program]) => program);
    // Had the kernel refused them, others would be there without a count.
    const submits = names.filter((program) => program.startsWith("submit"));
    if (known === undefined) ok(submits.length > 0, errors);
    else deepStrictEqual(submits, known.programs, errors);
    ok(!errors!.includes("failed to"), errors);
    ok(names.includes("complete") && names.includes("created"), errors);
    for (const [program, count] of followed) {
      ok(count > 0 && count < MOST_INSTRUCTIONS, `${program}: ${count} instructions`);
    }

    // One run after another: each starts its user_data anew, so each has its own process.
    const runs = report.get("said")!.split(/^MODE (\S+)\n/m).slice(1);
    const said = new Map<string, AnyRecord[]>();
    for (let i = 0; i < runs.length; i += 2) said.set(runs[i]!, linesOf(runs[i + 1]!));
    const eventsOfMode = (mode: string) =>
      eventsOf(
        records,
        ({ process }) => process.filename === "workload" && process.args === mode.replace(",", " "),
      );
    // A kernel without io_uring_req_failed does not show what it refuses before it runs.
    const shown = (requests: AnyRecord[]) =>
      missing.includes("io_uring_req_failed")
        ? requests.filter(({ res }) => !REFUSALS.includes(res))
        : requests;
    for (const mode of ANNOUNCED) {
      // Where a completion does not name its request, it is not known what was opened.
      if (mode === "opened" && missing.includes("io_uring_complete: req")) continue;
      const announced = shown(said.get(mode)!).filter(({ user_data }) => user_data !== undefined);
      ok(announced.length > 0, mode);
      deepStrictEqual(differences(announced, eventsOfMode(mode)), [], mode);
    }
    const [seccomp] = eventsOfMode("seccomp");
    equal(seccomp.seccomp.mode, 2);
    const [polled] = eventsOfMode("sqpoll-seccomp");
    equal(polled.seccomp.mode, 2);
    const [given] = eventsOfMode("sqpoll-setuid");
    equal(given.process.euid, 1000);
    for (const { io_uring } of eventsOfMode("stale")) equal(io_uring.cred, undefined);
    checkSamples(eventsOfMode("samples"));
    checkHeldRings(records, linesOf(report.get("hold")!).at(-1));

    equal(eventsOfMode("overflow").length, said.get("overflow")![0].submitted);
    const submitted = (name: string) => linesOf(report.get(name)!)[0].submitted;
    const [preempt] = said.get("preempt,2") as [AnyRecord];
    const others = eventsOf(records, () => true);
    const ticks = others.filter(({ process }) => process.args === "ticks 200");
    ok(ticks.every(({ opcode }) => opcode === "IORING_OP_OPENAT"));
    // Of two that submit, the kernel can keep no more than one program from running.
    equal(ticks.length, submitted("ticks"));
    equal(
      end.totals.events + end.totals.lost,
      others.length + preempt.submitted + submitted("flood"),
    );

    for (const value of ["1", "2"]) {
      const [first, ...rest] = linesOf(report.get(`disabled-${value}.out`) ?? "");
      // Older kernels cannot forbid it.
      if (first === undefined) continue;
      equal(report.get(`disabled-${value}.code`), "0\n");
      const codes = first.diagnostics.map(({ code }: AnyRecord) => code);
      // Root makes rings when it is 1.
      deepStrictEqual(codes, ["io_uring_disabled", ...value === "2" ? ["no_canary"] : []]);
      equal(rest.at(-1).complete, true);
    }
  });
}

await guestTest(
  "capture on a kernel that is locked down is refused in one line",
  "6.12",
  async () => {
    const script = `
    try told iouring capture
    try checked iouring capture --check
    umount /sys/kernel/security
    try found iouring capture
  `;
    const report = await runInGuest("6.12", { script, append: "lockdown=confidentiality" });
    const refusal = (says: string) => ["4\n", "", `Cannot capture: ${says}\n`];
    const came = (name: string) =>
      ["code", "out", "err"].map((part) => report.get(`${name}.${part}`));
    const advice = "boot without lockdown=confidentiality";
    deepStrictEqual(
      came("told"),
      refusal(`confidentiality mode forbids BPF to read the kernel: ${advice}`),
    );
    ok(report.get("checked.out")!.includes("missing lockdown: confidentiality mode"));
    equal(report.get("checked.code"), "4\n");
    // Where the mode cannot be read it is found out.
    deepStrictEqual(came("found"), refusal(`BPF may not read the kernel: ${advice}`));
  },
);
