import { equal, ok } from "node:assert/strict";
import { PROGRAM } from "../paths.ts";
import { live } from "./capture.ts";

async function run(command: string, ...args: string[]) {
  const { code, stdout, stderr } = await new Deno.Command(command, { args, stdin: "null" })
    .output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { code, stdout: text(stdout), stderr: text(stderr) };
}

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
    const refused = await run("setpriv", ...as);
    equal(refused.stderr, MISSING);
    equal(refused.stdout, "");
    equal(refused.code, 4);
    const checked = await run("setpriv", ...as, "--check");
    equal(checked.code, 4);
    ok(/^missing privilege: CAP_BPF and CAP_PERFMON missing/m.test(checked.stdout), checked.stdout);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

live("capture by root without capabilities is refused, and with two of them runs", async () => {
  const refused = await run("setpriv", "--bounding-set=-all", PROGRAM, "capture");
  equal(refused.stderr, MISSING);
  equal(refused.stdout, "");
  equal(refused.code, 4);
  const few = await run(
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

live("capture goes on where io_uring is disabled, and says so", async () => {
  const file = await Deno.makeTempFile();
  try {
    for (const value of ["1", "2"]) {
      await Deno.writeTextFile(file, `${value}\n`);
      // The value is another one for this process alone, and only to look at.
      const { code, stdout, stderr } = await run(
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
});
