import assert from "node:assert/strict";
import { containerId } from "../../lib/uapi/container_id.ts";
import { pseudoRandom } from "./layout.ts";

const ID = "0123456789abcdef".repeat(4);
const OTHER = "fedcba9876543210".repeat(4);
const POD = "kubepods-burstable-pod11111111_2222_3333_4444_555555555555.slice";

Deno.test("containerId() finds the id in every runtime's naming", () => {
  const paths = [
    `/system.slice/docker-${ID}.scope`,
    `/docker/${ID}`,
    `/docker/${ID}/init.scope`,
    `/system.slice/docker-${ID}.scope/system.slice/nginx.service`,
    `/kubepods.slice/kubepods-burstable.slice/${POD}/cri-containerd-${ID}.scope`,
    `/kubepods.slice/${POD}/crio-${ID}.scope`,
    `/kubepods.slice/${POD}/docker-${ID}.scope`,
    `/kubepods/burstable/pod11111111-2222-3333-4444-555555555555/${ID}`,
    `/kubepods-besteffort-pod1.slice:cri-containerd:${ID}`,
    `/system.slice/containerd.service/${POD}:cri-containerd:${ID}`,
    `/system.slice:docker:${ID}`,
    `/default/${ID}`,
    `/system.slice/nerdctl-${ID}.scope`,
    `/machine.slice/libpod-${ID}.scope`,
    `/machine.slice/libpod-${ID}.scope/container`,
    `/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-${ID}.scope/container`,
    `/libpod_parent/libpod-${ID}`,
    `/ecs/0f1e2d3c4b5a69788796a5b4c3d2e1f0/${ID}`,
    `/docker/${OTHER}/docker/${ID}`,
  ];
  for (const path of paths) assert.equal(containerId(path), ID, path);
});

Deno.test("containerId() takes other runtimes' names for ids", () => {
  assert.equal(containerId("/lxc/web1"), "web1");
  assert.equal(containerId("/lxc/web1/system.slice/sshd.service"), "web1");
  assert.equal(containerId("/lxc.payload.web1/init.scope"), "web1");
  const task = "0f1e2d3c4b5a69788796a5b4c3d2e1f0";
  assert.equal(containerId(`/ecs/${task}/${task}-1234567890`), `${task}-1234567890`);
});

Deno.test("containerId() is empty on the host", () => {
  const paths = [
    "",
    "/",
    "/init.scope",
    "/system.slice/sshd.service",
    "/system.slice/docker.service",
    "/user.slice/user-1000.slice/session-3.scope",
    "/user.slice/user-1000.slice/user@1000.service/app.slice/app-gnome-terminal-1234.scope",
    "/kubepods.slice",
    "/docker",
    "/lxc",
    "/lxc/",
    "/lxc.monitor.web1",
    `/system.slice/docker-${ID}.service`,
    `/system.slice/docker-${ID.slice(1)}.scope`,
    `/system.slice/docker-0${ID}.scope`,
    `/system.slice/docker-${ID.toUpperCase()}.scope`,
    `/machine.slice/libpod-conmon-${ID}.scope`,
    `/kubepods.slice/${POD}/crio-conmon-${ID}.scope`,
  ];
  for (const path of paths) assert.equal(containerId(path), "", path);
});

Deno.test("containerId() takes any text, soon", () => {
  const next = pseudoRandom(4);
  const pieces = ["/", "-", ":", "lxc", ".scope", ID, "..", "\0", "\uFFFD", "conmon-", "a"];
  for (let round = 0; round < 2000; round++) {
    let path = "";
    for (let index = next() % 12; index > 0; index--) path += pieces[next() % pieces.length];
    containerId(path);
  }
  assert.equal(containerId("/" + "-".repeat(4096)), "");
  assert.equal(containerId("/" + `${ID}-`.repeat(60)), "");
});
