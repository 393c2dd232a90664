import assert from "node:assert/strict";
import { imageFixtures, unpackFixture } from "../fixtures.ts";
import { PROGRAM } from "../paths.ts";

/** Processes of the lab's workload, and rules that fire on one of their rings. */
const EXPECTED: Readonly<Record<string, readonly string[]>> = {
  b_pending: ["credential-access", "binary-replace", "indicator-removal", "outbound-connect"],
  d_network: ["c2-channel", "outbound-connect"],
  hidden: ["hidden-ring", "indicator-removal"],
  inherited: ["foreign-ring", "indicator-removal"],
  mapped_only: ["hidden-ring"],
  personality: ["credential-access", "personality-switch"],
  seccomp_one: ["seccomp-bypass", "seccomp-file"],
  seccomp_strict: ["seccomp-bypass"],
  shared: ["foreign-ring"],
  sqpoll: ["sqpoll-ring"],
};
/** Processes whose rings did nothing that a rule is about. */
const PLAIN: readonly string[] = ["c_memory", "e_files", "f_wrapped", "i_waiting", "forty"];

for (const name of imageFixtures()) {
  Deno.test(`rules fire on the rings of ${name} by what the workload did`, () => {
    const { stdout } = new Deno.Command(PROGRAM, {
      args: ["scan", "--format", "ndjson", unpackFixture(name)],
      stderr: "null",
    }).outputSync();
    const fired = new Map<string, Set<string>>();
    for (const line of new TextDecoder().decode(stdout).trim().split("\n")) {
      const { type, comm, classification, bypasses_seccomp } = JSON.parse(line);
      if (type !== "IOUringEntry") continue;
      const ids = (classification?.rules ?? []).map(({ id }: { id: string }) => id);
      // The record's own bit and the rule agree.
      assert.equal(ids.includes("seccomp-bypass"), bypasses_seccomp, comm);
      fired.set(comm, new Set([...fired.get(comm) ?? [], ...ids]));
    }
    for (const [comm, ids] of Object.entries(EXPECTED)) {
      // An old kernel refuses to register a ring.
      if (comm === "hidden" && name.startsWith("5.10")) continue;
      for (const id of ids) assert.ok(fired.get(comm)?.has(id), `${comm} lacks ${id}`);
    }
    for (const comm of PLAIN) assert.deepEqual([...fired.get(comm) ?? ["no ring"]], [], comm);
  });
}
