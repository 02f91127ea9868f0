import { createWriteStream } from 'node:fs';
import { Readable, Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import type { BackupBody } from '../src/http/v1/backups.ts';
import type { RestoreBody } from '../src/http/v1/restores.ts';
import { v1Client } from '../test/support/v1-client.ts';
import { DemoFailed } from './demo-failed.ts';
import { megabytes, type Narrator, type Progress } from './narrate.ts';
import type { DemoSite } from './site.ts';

/** The public V1 API of a site, as a user calls it; what is sent is told, but for secrets. Failures are `DemoFailed`. */
export interface Api {
  send<Body>(method: string, path: string, body?: object): Promise<Body>;
  /** The same for what is asked again and again: nothing is told. */
  look<Body>(path: string): Promise<Body>;
  /** Waits until a backup or restore is done; `expectedBytes` is what its progress counts up to. */
  follow<Task extends BackupBody | RestoreBody>(
    path: string,
    expectedBytes: number,
    progress: Progress,
  ): Promise<Task>;
  /** Resolves with the number of bytes. */
  download(path: string, file: string, progress: Progress): Promise<number>;
}

const pollMs = 100;

export function openApi(site: DemoSite, narrator: Narrator, signal: AbortSignal): Api {
  const client = v1Client(site);

  async function request<Body>(method: string, path: string, body?: object): Promise<Body> {
    signal.throwIfAborted();
    const answer = await client.call<Body & { description?: string }>(method, path, body);
    if (answer.status < 300) return answer.body;
    throw new DemoFailed(
      `${method} ${path} was answered ${answer.status}: ${answer.body.description ?? 'without a reason'}`,
    );
  }

  return {
    send: async (method, path, body) => {
      narrator.quote(`${method} ${path}`);
      return request(method, path, body);
    },

    look: (path) => request('GET', path),

    async follow<Task extends BackupBody | RestoreBody>(
      path: string,
      expectedBytes: number,
      progress: Progress,
    ) {
      for (;;) {
        const task = await request<Task>('GET', path);
        if (task.status === 'done') return task;
        if (task.status !== 'queued' && task.status !== 'running') throw taskFailed(path, task);
        const { phase, bytes } = task.progress ?? { phase: null, bytes: 0 };
        progress(bytes / expectedBytes, `${phase ?? task.status}, ${megabytes(bytes)} read`);
        await sleep(pollMs, undefined, { signal });
      }
    },

    async download(path, file, progress) {
      const response = await fetch(site.url + path, {
        headers: { authorization: `Bearer ${site.token}` },
        signal,
      });
      if (!response.ok || !response.body)
        throw new DemoFailed(`The download was answered ${response.status}: ${await response.text()}`);
      let bytes = 0;
      const counted = new Transform({
        transform(chunk: Buffer, _encoding, done) {
          bytes += chunk.length;
          progress(undefined, megabytes(bytes));
          done(null, chunk);
        },
      });
      await pipeline(Readable.fromWeb(response.body), counted, createWriteStream(file, { mode: 0o600 }), {
        signal,
      });
      return bytes;
    },
  };
}

function taskFailed(path: string, { status, error }: BackupBody | RestoreBody): DemoFailed {
  const reason = error ? `${error.message} (${error.code})` : 'it does not say why';
  return new DemoFailed(`${path} ended as ${status}: ${reason}`, error?.hint ? [error.hint] : []);
}
