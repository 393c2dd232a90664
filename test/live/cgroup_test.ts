import { equal } from "node:assert/strict";
import { need, run, succeeds } from "../command.ts";
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

/** Whether a hierarchy can be mounted here, and takes groups. */
function canMake(hierarchy: readonly string[]): boolean {
  const probe = "/mnt/iouring-test-probe";
  const script = `mount -t "$@" none /mnt && mkdir ${probe} && rmdir ${probe}`;
  return succeeds("unshare", "--mount", "sh", "-c", script, "sh", ...hierarchy);
}

/** Runs the workload in a cgroup of its own below `top`. */
async function inCgroup(hierarchy: readonly string[], top: string, name: string): Promise<void> {
  const script = `
    set -e
    folder=$(mktemp -d)
    mount -t ${hierarchy.join(" ")} none "$folder"
    mkdir -p "$folder/$1/$2"
    (echo 0 > "$folder/$1/$2/cgroup.procs" && exec "$0" samples > /dev/null)
    cd "$folder/$1" && find . -depth -type d -exec rmdir {} + && rmdir "$folder/$1"
    cd / && umount "$folder" && rmdir "$folder"
  `;
  const args = ["--mount", "sh", "-c", script, await buildWorkload(), top, name];
  const { code, stderr } = run("unshare", args);
  equal(code, 0, stderr);
}

const VERSIONS: readonly [name: string, hierarchy: readonly string[]][] = [
  ["v2", ["cgroup2"]],
  // Where the unified hierarchy has it, there is no such one.
  ["v1", ["cgroup", "-o", "pids"]],
];

for (const [version, hierarchy] of VERSIONS) {
  live(
    `capture tells containers by real cgroups, ${version}`,
    async () => {
      const top = `iouring-test-${Deno.pid}-${version}`;
      const capture = await RunningCapture.start();
      for (const [name] of CGROUPS) await inCgroup(hierarchy, top, name);
      const { records } = await capture.stop();
      for (const [name, id] of CGROUPS) {
        const events = records.filter(({ type, process }: AnyRecord) =>
          type === "IOUringEvent" && process.cgroup === `/${top}/${name}`
        );
        equal(events.length, 5, name);
        for (const { process } of events) equal(process.container_id, id);
      }
    },
    [need(canMake(hierarchy), `cannot make cgroups ${version} here`)],
  );
}
