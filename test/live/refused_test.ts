import { deepStrictEqual, equal, ok } from "node:assert/strict";
import { NEEDS_MOUNTS, NEEDS_USER_NAMESPACE, run as runCommand } from "../command.ts";
import { PROGRAM } from "../paths.ts";
import { emptyBtf, withMemberMoved, withoutName } from "./btf_bytes.ts";
import { live } from "./capture.ts";
import { buildWorkload } from "./workload.ts";

const run = (command: string, ...args: string[]) => runCommand(command, args);

const MISSING =
  "Cannot capture: CAP_BPF and CAP_PERFMON missing: run it as root (sudo iouring capture)\n";

live("capture by another user is refused in one line", async () => {
  // Its folder must be one that others may enter.
  const folder = await Deno.makeTempDir();
  try {
    await Deno.chmod(folder, 0o755);
    const program = `${folder}/iouring`;
    await Deno.copyFile(PROGRAM, program);
    const as = ["--reuid=65534", "--regid=65534", "--clear-groups", program, "capture"];
    const refused = run("setpriv", ...as);
    equal(refused.stderr, MISSING);
    equal(refused.stdout, "");
    equal(refused.code, 4);
    const checked = run("setpriv", ...as, "--check");
    equal(checked.code, 4);
    ok(/^missing privilege: CAP_BPF and CAP_PERFMON missing/m.test(checked.stdout), checked.stdout);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

live("capture by root without capabilities is refused, and with two of them runs", () => {
  const refused = run("setpriv", "--bounding-set=-all", PROGRAM, "capture");
  equal(refused.stderr, MISSING);
  equal(refused.stdout, "");
  equal(refused.code, 4);
  const few = run(
    "setpriv",
    "--bounding-set=-all,+bpf,+perfmon",
    PROGRAM,
    "capture",
    "--format=ndjson",
    "-d",
    "0.2",
  );
  equal(few.code, 0, few.stderr);
  const records = few.stdout.trim().split("\n").map((line) => JSON.parse(line));
  equal(records[0].phase, "start");
  equal(records.at(-1).phase, "end");
});

live("capture by the root of a user namespace is refused in one line", () => {
  const args = ["--user", "--map-root-user", PROGRAM, "capture"];
  deepStrictEqual(run("unshare", ...args), {
    code: 4,
    stdout: "",
    stderr: "Cannot capture: the capabilities of a user namespace are not enough: " +
      "run it as root of the host\n",
  });
  const checked = run("unshare", ...args, "--check");
  equal(checked.code, 4);
  ok(checked.stdout.startsWith("missing privilege: the capabilities of a user namespace"));
}, [NEEDS_USER_NAMESPACE]);

live("capture where a seccomp filter forbids bpf(2) is refused in one line", async () => {
  const args = ["deny-bpf", PROGRAM, "capture"];
  const says = "a seccomp filter forbids bpf(2): " +
    "run it where that is allowed, such as outside the container\n";
  deepStrictEqual(run(await buildWorkload(), ...args), {
    code: 4,
    stdout: "",
    stderr: `Cannot capture: ${says}`,
  });
  const checked = run(await buildWorkload(), ...args, "--check");
  equal(checked.code, 4);
  ok(checked.stdout.includes(`missing bpf: ${says}`), checked.stdout);
});

const KERNEL_BTF = "/sys/kernel/btf/vmlinux";

/** Runs the program where the kernel does not show its types. */
function runWithoutTypes(...args: string[]) {
  const script = 'mount -t tmpfs none /sys/kernel/btf && exec "$0" capture "$@"';
  return run("unshare", "--mount", "sh", "-c", script, PROGRAM, ...args);
}

live("capture takes the kernel's types from a file, and refuses what is not them", async () => {
  const own = await Deno.readFile(KERNEL_BTF);
  const folder = await Deno.makeTempDir();
  const files = {
    own,
    cut: own.subarray(0, 100_000),
    empty: new Uint8Array(),
    text: new TextEncoder().encode("CONFIG_DEBUG_INFO_BTF=y\n"),
    // As they are before 5.8.
    old: withoutName(own, "BPF_MAP_TYPE_RINGBUF"),
    // In order, but not this kernel's.
    others: emptyBtf(),
    moved: withMemberMoved(own, { struct: "task_struct", member: "comm", bytes: 8 }),
    damaged: own.map((byte, i) => i > 1000 && i % 997 === 0 ? byte ^ 0x5a : byte),
  };
  const path = (name: string) => `${folder}/${name}.btf`;
  try {
    for (const [name, bytes] of Object.entries(files)) await Deno.writeFile(path(name), bytes);
    const quoted = (name: string) => JSON.stringify(path(name));
    deepStrictEqual(runWithoutTypes("-d", "0.2"), {
      code: 4,
      stdout: "",
      stderr: `Cannot capture: ${KERNEL_BTF} is not there: ` +
        "use a kernel with CONFIG_DEBUG_INFO_BTF, or --btf FILE\n",
    });
    const found = runWithoutTypes("--btf", path("own"), "--format", "ndjson", "-d", "0.5");
    equal(found.code, 0, found.stderr);
    const records = found.stdout.trim().split("\n").map((line) => JSON.parse(line));
    deepStrictEqual(records[0].coverage.missing, []);
    // The kernel itself takes its own types to list what there is.
    deepStrictEqual(records[0].diagnostics.map(({ code }: { code: string }) => code), [
      "no_mode_iterator",
      "no_ring_iterator",
      "no_task_iterator",
    ]);
    equal(records.at(-1).complete, true);

    const refused: [name: string, code: number, stderr: RegExp | string][] = [
      ["cut", 1, /^Cannot read ".*cut.btf": BTF needs \d+ bytes, 100000 are there\n$/],
      ["empty", 1, `Cannot read ${quoted("empty")}: file is empty\n`],
      ["text", 1, `Cannot read ${quoted("text")}: not a BTF header\n`],
      ["damaged", 1, /^Cannot read ".*damaged.btf": type \d+ of BTF is damaged\n$/],
      ["missing", 1, `Cannot open ${quoted("missing")}: no such file\n`],
      [
        "old",
        4,
        "Cannot capture: this kernel's BPF has no ring buffer: use Linux 5.10 or later\n",
      ],
      [
        "others",
        4,
        "Cannot capture: the kernel's types name no io_uring tracepoints: " +
        "use Linux 5.10 or later, with CONFIG_IO_URING\n",
      ],
      [
        "moved",
        4,
        /^Cannot capture: the kernel seems to say that comm of this process is ".*", and it is ".+": its types are of another kernel\n$/,
      ],
    ];
    for (const [name, code, stderr] of refused) {
      const result = runWithoutTypes("--btf", path(name), "--format", "ndjson", "-d", "5");
      equal(result.code, code, `${name}: ${result.stderr}`);
      if (typeof stderr === "string") equal(result.stderr, stderr);
      else ok(stderr.test(result.stderr), result.stderr);
      ok(!result.stdout.includes("IOUringEvent"));
    }
    // Where the kernel shows its types, others cannot be right.
    deepStrictEqual(run(PROGRAM, "capture", "--btf", path("moved"), "-d", "5"), {
      code: 1,
      stdout: "",
      stderr: `Cannot use ${quoted("moved")}: this kernel's types are others, ` +
        `those in ${KERNEL_BTF}\n`,
    });
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}, [NEEDS_MOUNTS]);

live("capture goes on where io_uring is disabled, and says so", async () => {
  const file = await Deno.makeTempFile();
  try {
    for (const value of ["1", "2"]) {
      await Deno.writeTextFile(file, `${value}\n`);
      // The value is another one for this process alone, and only to look at.
      const { code, stdout, stderr } = run(
        "unshare",
        "--mount",
        "sh",
        "-c",
        'mount --bind "$1" /proc/sys/kernel/io_uring_disabled && ' +
          'exec "$0" capture --format ndjson -d 0.2',
        PROGRAM,
        file,
      );
      equal(code, 0, stderr);
      const start = JSON.parse(stdout.split("\n")[0]!);
      const told = start.diagnostics.find(({ code }: { code: string }) =>
        code === "io_uring_disabled"
      );
      ok(told.message.startsWith(`kernel.io_uring_disabled is ${value}: `));
    }
  } finally {
    await Deno.remove(file);
  }
}, [NEEDS_MOUNTS]);
