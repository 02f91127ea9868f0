import { describe, expect, test } from 'vitest';
import { ForestayError } from '../../src/core/errors.ts';
import { ChildExit } from '../../src/pipeline/child-process.ts';
import { translatorOf } from '../../src/pipeline/foreign-errors.ts';

const full = { code: 'InstanceFull', hint: 'Make room.' } as const;
const refused = { code: 'InstanceRefused', hint: 'Give the right.' } as const;
const translate = translatorOf({ ENOSPC: full }, [
  [/No space left/, full],
  [/Permission denied/, refused],
]);
const ended = (stderr: string) =>
  new ForestayError('ToolFailed', 'tar exited with code 2.', { cause: new ChildExit(2, null, stderr) });

describe('foreign errors', () => {
  test('of the file system are told by their code', () => {
    const cause = Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' });
    expect(translate(cause, 'The copy failed')).toMatchObject({
      ...{ code: 'InstanceFull', message: 'The copy failed (ENOSPC).', hint: 'Make room.', cause },
    });
  });

  test('of programs are told by the line that says it', () => {
    const error = translate(
      ended('tar: one: fine\ntar: two: Permission denied\ntar: end'),
      'The copy failed',
    );
    expect(error).toMatchObject({
      ...{ code: 'InstanceRefused', message: 'The copy failed: tar: two: Permission denied' },
    });
  });

  test.for([
    ended('something else'),
    new ForestayError('Canceled', 'No space left for it.'),
    Object.assign(new Error('no such code'), { code: 'EXOTIC' }),
    new Error('No space left'),
  ])('that mean nothing known stay as they are: %s', (error) => {
    expect(translate(error, 'The copy failed')).toBe(error);
  });

  test('that are no errors become one', () => {
    expect(translate('a text', 'The copy failed')).toEqual(new Error('a text'));
  });
});
