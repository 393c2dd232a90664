import { equal } from "node:assert/strict";
import { type AnyRecord, live, RunningCapture } from "./capture.ts";
import { buildWorkload } from "./workload.ts";

const ID = "0123456789abcdef".repeat(4);

const CGROUPS: readonly [name: string, id: string][] = [
  [`system.slice/docker-${ID}.scope`, ID],
  [`kubepods.slice/cri-containerd-${ID}.scope`, ID],
  [`docker/${ID}`, ID],
  ["system.slice/sshd.service", ""],
  ["user.slice/session-1.scope", ""],
];

/** Runs the workload in a cgroup of its own below `top`, or says why that cannot be. */
async function inCgroup(hierarchy: string[], top: string, name: string): Promise<string> {
  const script = `
    folder=$(mktemp -d) || exit
    mount -t ${hierarchy.join(" ")} none "$folder" || exit
    mkdir -p "$folder/$1/$2" || exit
    (echo 0 > "$folder/$1/$2/cgroup.procs" && exec "$0" samples > /dev/null)
    code=$?
    cd "$folder/$1" && find . -depth -type d -exec rmdir {} + && rmdir "$folder/$1"
    cd / && umount "$folder" && rmdir "$folder"
    exit $code
  `;
  const { code, stderr } = await new Deno.Command("unshare", {
    args: ["--mount", "sh", "-c", script, await buildWorkload(), top, name],
    stdin: "null",
  }).output();
  return code === 0 ? "" : new TextDecoder().decode(stderr).trim() || `exit code ${code}`;
}

const VERSIONS: readonly [name: string, hierarchy: string[]][] = [
  ["v2", ["cgroup2"]],
  // Where the unified hierarchy has it, there is no such one.
  ["v1", ["cgroup", "-o", "pids"]],
];

live("capture tells containers by real cgroups", async () => {
  for (const [version, hierarchy] of VERSIONS) {
    const top = `iouring-test-${Deno.pid}-${version}`;
    const capture = await RunningCapture.start();
    let refused = "";
    for (const [name] of CGROUPS) {
      refused = await inCgroup(hierarchy, top, name);
      if (refused !== "") break;
    }
    const { records } = await capture.stop();
    if (refused !== "") {
      Deno.stderr.writeSync(
        new TextEncoder().encode(`cgroup ${version} cannot be tested here: ${refused}\n`),
      );
      continue;
    }
    for (const [name, id] of CGROUPS) {
      const events = records.filter(({ type, process }: AnyRecord) =>
        type === "IOUringEvent" && process.cgroup === `/${top}/${name}`
      );
      equal(events.length, 5, `${version} ${name}`);
      for (const { process } of events) equal(process.container_id, id);
    }
  }
});
