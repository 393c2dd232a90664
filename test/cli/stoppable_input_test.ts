import assert from "node:assert/strict";
import { mock } from "node:test";
import type { Input } from "../../lib/cli/host.ts";
import { StoppableInput } from "../../lib/cli/stoppable_input.ts";
import { FakeHost } from "./fake_host.ts";

/** An input of which each read ends when the test says so. */
class SlowInput implements Input {
  readonly isTerminal = false;
  #done: (count: number | null) => void = () => {};

  read(): Promise<number | null> {
    return new Promise((resolve) => this.#done = resolve);
  }

  bring(count: number): void {
    this.#done(count);
  }

  close(): void {}
}

/** Runs with timers that move when they are told to. */
async function stopped(run: (input: StoppableInput, source: SlowInput) => Promise<void>) {
  mock.timers.enable({ apis: ["setTimeout"] });
  try {
    const source = new SlowInput();
    const input = new StoppableInput(source, new FakeHost({ stopped: Promise.resolve() }));
    assert.equal(input.stopped, false);
    await Promise.resolve();
    assert.equal(input.stopped, true);
    await run(input, source);
  } finally {
    mock.timers.reset();
  }
}

Deno.test("StoppableInput ends a second after it brings nothing any more", async () => {
  await stopped(async (input, source) => {
    for (let i = 0; i < 5; i++) {
      const read = input.read(new Uint8Array(1));
      mock.timers.tick(900);
      source.bring(1);
      assert.equal(await read, 1);
    }
    const last = input.read(new Uint8Array(1));
    mock.timers.tick(1000);
    assert.equal(await last, null);
    assert.equal(await input.read(new Uint8Array(1)), null);
  });
});

Deno.test("StoppableInput ends after ten seconds whatever still comes", async () => {
  await stopped(async (input, source) => {
    for (let i = 0; i < 19; i++) {
      const read = input.read(new Uint8Array(1));
      mock.timers.tick(500);
      source.bring(1);
      assert.equal(await read, 1);
    }
    const last = input.read(new Uint8Array(1));
    mock.timers.tick(500);
    assert.equal(await last, null);
  });
});
