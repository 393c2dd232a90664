// Copies and reads trees with libuv's io_uring, over and over: node copy_trees.mjs SECONDS TARGET TREE…
import { cp, mkdir, opendir, readFile, rm, stat, symlink, writeFile } from "node:fs/promises";
import process from "node:process";

const [seconds, target, ...trees] = process.argv.slice(2);
const own = `${target}/own`;
const end = performance.now() + Number(seconds) * 1000;

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

do {
  for (const tree of [own, ...trees]) {
    await cp(tree, `${target}/copy`, {
      recursive: true,
      // Enough of a large tree is enough.
      filter: () => performance.now() < end,
    });
    await rm(`${target}/copy`, { recursive: true, force: true });
  }
  await copyByReading(own, `${target}/read`);
  await rm(`${target}/read`, { recursive: true, force: true });
} while (performance.now() < end);
