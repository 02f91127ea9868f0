import { join } from 'node:path';
import { expect, it, vi } from 'vitest';
import { writeBack } from '../../../src/engines/files/write-back.ts';
import { never } from '../../contract/store-data.ts';

it('says at once that the disk failed, and does not forget it', async () => {
  const onFailure = vi.fn();
  const disk = writeBack(join(import.meta.dirname, 'no such folder'), never, onFailure);
  disk.stage.resume();
  disk.stage.write(Buffer.alloc(128 * 1024 * 1024));
  await vi.waitFor(() => expect(onFailure).toHaveBeenCalled(), { timeout: 10_000, interval: 20 });
  await disk.settled();
  await expect(disk.finish()).rejects.toMatchObject({ code: 'ToolFailed' });
});
