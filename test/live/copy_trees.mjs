// Copies and reads trees with libuv's io_uring: node copy_trees.mjs TARGET TREE…
import { cp, mkdir, opendir, readFile, rm, stat, symlink, writeFile } from "node:fs/promises";
import process from "node:process";

const [target, ...trees] = process.argv.slice(2);
/** Enough of a large tree is enough. */
const MOST = 400;
const own = `${target}/own`;

// One of small files, folders and links.
for (let i = 0; i < 200; i++) {
  const folder = `${own}/${i % 20}`;
  await mkdir(folder, { recursive: true });
  await writeFile(`${folder}/file-${i}`, "x".repeat(i * 50));
  await symlink(`file-${i}`, `${folder}/link-${i}`);
}

async function copyByReading(from, to) {
  await mkdir(to, { recursive: true });
  for await (const { name } of await opendir(from)) {
    const info = await stat(`${from}/${name}`).catch(() => undefined);
    if (info?.isDirectory()) await copyByReading(`${from}/${name}`, `${to}/${name}`);
    if (info?.isFile()) await writeFile(`${to}/${name}`, await readFile(`${from}/${name}`));
  }
}

for (const tree of [own, ...trees]) {
  let left = MOST;
  await cp(tree, `${target}/copy`, { recursive: true, filter: () => left-- > 0 });
  await rm(`${target}/copy`, { recursive: true, force: true });
}
await copyByReading(own, `${target}/read`);
await rm(`${target}/read`, { recursive: true, force: true });
