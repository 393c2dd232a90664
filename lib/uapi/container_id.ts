/**
 * A path component that names a container by its 64 hex digits: bare (`/docker/<id>`,
 * `/kubepods/…/<id>`), behind the runtime's name (`docker-<id>.scope`, `cri-containerd-<id>.scope`,
 * `crio-<id>.scope`, `libpod-<id>.scope`), or last in containerd's `<slice>:cri-containerd:<id>`.
 */
const HEX_ID = /^(?:.*[-:])?([0-9a-f]{64})(?:\.scope)?$/;

/** AWS Fargate: 32 hex digits of the task and the number of the container in it. */
const FARGATE_ID = /^[0-9a-f]{32}-[0-9]{1,20}$/;

/**
 * LXC's cgroup v2 name for what runs inside, as against `lxc.monitor.<name>`, which runs outside.
 */
const LXC_PAYLOAD = /^lxc\.payload\.(.+)$/;

/** conmon watches a container from outside; its scope carries the id all the same. */
const OUTSIDE = /conmon[-:]/;

/**
 * The container that a process is in, by its cgroup.
 *
 * @param cgroupPath The path below the hierarchy's root: of the unified one on cgroup v2, of the
 * pids or memory controller on v1.
 * @returns The whole id (64 hex digits for Docker, containerd, CRI-O and Podman; the name for LXC),
 * of the innermost container where they are nested; `""` on the host: a plain `.service` or
 * `.scope` is not a container.
 */
export function containerId(cgroupPath: string): string {
  const components = cgroupPath.split("/");
  for (let index = components.length - 1; index >= 0; index--) {
    const component = components[index]!;
    if (OUTSIDE.test(component)) continue;
    const id = HEX_ID.exec(component)?.[1] ?? LXC_PAYLOAD.exec(component)?.[1];
    if (id !== undefined) return id;
    if (FARGATE_ID.test(component)) return component;
    if (index > 0 && components[index - 1] === "lxc" && component !== "") return component;
  }
  return "";
}
