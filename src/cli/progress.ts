import { bytes, note } from './output.ts';
import type { TaskBody } from './task-text.ts';

/** Shows how a task is going, on stderr. */
export interface Progress {
  update(task: TaskBody): void;
  /** The site does not answer at the moment. */
  silence(): void;
  stop(): void;
}

/** A bar on a terminal; elsewhere a line whenever something changes that a log should have. */
export async function showProgress(what: string, quiet: boolean): Promise<Progress> {
  if (quiet) return { update: () => {}, silence: () => {}, stop: () => {} };
  return process.stderr.isTTY ? await bar(what) : lines(what);
}

/** How large the whole will be nobody knows, so the bar shows that it moves rather than how far it is. */
async function bar(what: string): Promise<Progress> {
  const { SingleBar } = await import('cli-progress');
  const width = 24;
  const single = new SingleBar({
    stream: process.stderr,
    hideCursor: true,
    format: (_options, { value }, payload: { state: string }) => {
      const at = value % width;
      const cells = Array.from({ length: width }, (_, cell) => ((cell - at + width) % width < 4 ? '█' : '░'));
      return `${what} ${cells.join('')} ${payload.state}`;
    },
  });
  let state = 'starting';
  single.start(Number.MAX_SAFE_INTEGER, 0, { state });
  const timer = setInterval(() => single.increment(1, { state }), 150);
  return {
    update: (task) => {
      state = stateOf(task);
    },
    silence: () => {
      state = 'the site does not answer, waiting';
    },
    stop: () => {
      clearInterval(timer);
      single.update({ state });
      single.stop();
    },
  };
}

/** At most one line for so much time while only the number of bytes changes. */
const quietMs = 10_000;

function lines(what: string): Progress {
  let last = '';
  let lastAt = 0;
  const say = (headline: string, text: string) => {
    if (headline === last && performance.now() - lastAt < quietMs) return;
    note(`${what}: ${text}`);
    last = headline;
    lastAt = performance.now();
  };
  return {
    update: (task) => say(`${task.status} ${task.progress?.phase} ${task.attempt}`, stateOf(task)),
    silence: () => say('silence', 'the site does not answer, waiting'),
    stop: () => {},
  };
}

function stateOf(task: TaskBody): string {
  const { status, progress, attempt } = task;
  const again = attempt > 1 && (status === 'queued' || status === 'running') ? ` (attempt ${attempt})` : '';
  if (status !== 'running' || !progress) return status + again;
  return `${progress.phase ?? status}, ${bytes(progress.bytes)}${again}`;
}
