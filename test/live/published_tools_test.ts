import assert from "node:assert/strict";
import { PROGRAM } from "../paths.ts";

/** What each operation is classified as; where nothing is told, none. */
const EXPECTED: Readonly<Record<string, readonly string[]>> = {
  "connect": ["outbound-connect"],
  "recv": ["c2-channel"],
  "send": ["c2-channel"],
  "socket-write": ["c2-channel"],
  "socket-read": ["c2-channel"],
  "users": ["user-discovery"],
  "ss": ["connection-discovery"],
  "ps": ["process-discovery"],
  "privesc": ["suid-hunt"],
  "killbpf-tracing": ["tracing-tamper"],
  "killbpf-unlink": ["tracing-tamper"],
  "killbpf-maps": ["process-memory"],
  "selfdestruct": ["self-delete"],
  "shadow": ["credential-access"],
  "symlink": ["credential-access"],
  "close": [],
  "write-file": [],
};

/** Whether a live capture can run here. */
function canCapture(): boolean {
  try {
    return new Deno.Command(PROGRAM, { args: ["capture", "--check"] }).outputSync().code === 0;
  } catch {
    return false;
  }
}

Deno.test({
  name: "what the published tools do is classified operation by operation (needs root and BPF)",
  ignore: !canCapture(),
  async fn() {
    const folder = await Deno.makeTempDir();
    try {
      const agent = `${folder}/agent`;
      const built = await new Deno.Command("cc", {
        args: [
          "-O1",
          "-Wall",
          "-Werror",
          "-o",
          agent,
          `${import.meta.dirname}/published_tools.c`,
          "-luring",
        ],
        stderr: "inherit",
      }).output();
      assert.ok(built.success);

      const path = `${folder}/events.ndjson`;
      const capture = new Deno.Command(PROGRAM, {
        args: ["capture", "--format", "ndjson", "-o", path],
        stderr: "null",
      }).spawn();
      while ((await Deno.readTextFile(path).catch(() => "")) === "") {
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
      const workload = await new Deno.Command(agent, { args: [folder] }).output();
      assert.ok(workload.success);
      capture.kill("SIGINT");
      await capture.status;

      const filter = await new Deno.Command(PROGRAM, { args: ["filter", path] }).output();
      assert.equal(filter.code, 0, new TextDecoder().decode(filter.stderr));
      const rules = new Map<string, string[]>();
      for (const line of new TextDecoder().decode(filter.stdout).trim().split("\n")) {
        const { type, process, io_uring, classification } = JSON.parse(line);
        if (type !== "IOUringEvent" || process.filename !== "agent") continue;
        rules.set(
          io_uring.user_data,
          (classification?.rules ?? []).map(({ id }: { id: string }) => id),
        );
      }
      const operations = new TextDecoder().decode(workload.stdout).trim().split("\n")
        .map((line) => line.split(" ") as [name: string, userData: string]);
      assert.ok(operations.length > 50);
      for (const [name, userData] of operations) {
        // The sweep is told once it is one.
        if (name === "privesc-one") continue;
        assert.deepEqual(rules.get(userData), EXPECTED[name], `${name} ${userData}`);
      }
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
});
