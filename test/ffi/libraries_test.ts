import assert from "node:assert/strict";
import { LIBRARIES, memoryFile } from "../../ffi/libraries.ts";
import { loadPrivilegesLibrary } from "../../ffi/privileges.ts";
import { ROOT } from "../paths.ts";

Deno.test("memoryFile() gives a library that is loaded from memory", () => {
  const name = LIBRARIES.privileges;
  const path = memoryFile(name, Deno.readFileSync(`${ROOT}.cache/build/${name}`));
  assert.ok(loadPrivilegesLibrary(path).iouring_is_privileged() >= 0);
  const maps = Deno.readTextFileSync("/proc/self/maps").split("\n");
  assert.ok(maps.some((line) => line.endsWith(`/memfd:${name} (deleted)`)));
});
