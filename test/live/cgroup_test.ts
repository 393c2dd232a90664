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

/** Runs the workload in a cgroup of its own below `top`; in one more, where there is an `and`. */
async function inCgroup(
  hierarchy: readonly string[],
  { top, name, and = [] }: { top: string; name: string; and?: readonly string[] },
): Promise<void> {
  const script = `
    set -e
    workload=$1 top=$2 name=$3
    shift 3
    folder=$(mktemp -d)
    mount -t ${hierarchy.join(" ")} none "$folder"
    mkdir -p "$folder/$top/$name"
    (echo 0 > "$folder/$top/$name/cgroup.procs" && exec "$@" "$workload" samples > /dev/null)
    cd "$folder/$top" && find . -depth -type d -exec rmdir {} + && rmdir "$folder/$top"
    cd / && umount "$folder" && rmdir "$folder"
  `;
  const workload = await buildWorkload();
  const args = ["--mount", "sh", "-c", script, "sh", workload, top, name, ...and];
  const { code, stderr } = run("unshare", args);
  equal(code, 0, stderr);
}

/** Runs a command in the group of a runtime's service, of version 2. */
const IN_SERVICE = [
  "sh",
  "-c",
  `
  set -e
  folder=$(mktemp -d)
  mount -t cgroup2 none "$folder"
  mkdir "$folder/iouring-test.service"
  (echo 0 > "$folder/iouring-test.service/cgroup.procs" && exec "$@")
  rmdir "$folder/iouring-test.service"
  umount "$folder" && rmdir "$folder"
`,
  "sh",
];

const VERSIONS: readonly [name: string, hierarchy: readonly string[]][] = [
  ["v2", ["cgroup2"]],
  // Where the unified hierarchy has it, there is no such one.
  ["v1", ["cgroup", "-o", "pids"]],
];

live(
  "capture takes the container from version 1 where version 2 has the runtime's service",
  async () => {
    const top = `iouring-test-${Deno.pid}-both`;
    const capture = await RunningCapture.start();
    await inCgroup(["cgroup", "-o", "pids"], { top, name: `docker/${ID}`, and: IN_SERVICE });
    const { records } = await capture.stop();
    const events = records.filter(({ type, process }: AnyRecord) =>
      type === "IOUringEvent" && process.cgroup === `/${top}/docker/${ID}`
    );
    equal(events.length, 5);
    for (const { process } of events) equal(process.container_id, ID);
  },
  VERSIONS.map(([version, hierarchy]) =>
    need(canMake(hierarchy), `cannot make cgroups ${version} here`)
  ),
);

for (const [version, hierarchy] of VERSIONS) {
  live(
    `capture tells containers by real cgroups, ${version}`,
    async () => {
      const top = `iouring-test-${Deno.pid}-${version}`;
      const capture = await RunningCapture.start();
      for (const [name] of CGROUPS) await inCgroup(hierarchy, { top, name });
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
