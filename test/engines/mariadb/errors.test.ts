import { expect, test } from 'vitest';
import { translateError } from '../../../src/engines/mariadb/errors.ts';

const server = (errno: number, text: string) => Object.assign(new Error(text), { errno, code: 'ER_X' });

test.for([
  [1062, "Duplicate entry 's3cret row' for key 'PRIMARY'"],
  [1366, "Incorrect string value: 's3cret' for column `a`.`b`.`c` at row 1"],
  [1644, "it's s3cret, said a trigger"],
  [1064, "You have an error in your SQL syntax near 's3cret' at line 1"],
] as const)('what an error quotes of rows and statements is told to nobody: %s', ([errno, text]) => {
  const error = translateError(server(errno, text), 'The restore failed');
  expect(error).toMatchObject({ code: 'ToolFailed', message: expect.stringContaining(`error ${errno}`) });
  for (let at: Error | undefined = error; at; at = at.cause as Error | undefined)
    expect(at.message).not.toContain('s3cret');
});

test.for([
  [1030, 'Got error 28 "No space left on device" from storage engine InnoDB', 'InstanceFull'],
  [1005, 'Can\'t create table `a`.`b` (errno: 28 "No space left on device")', 'InstanceFull'],
  [1026, 'Error writing file \'/tmp/x\' (Errcode: 122 "Disk quota exceeded")', 'InstanceFull'],
  [1180, '(conn:7, no: 1180) Got error 1 "Operation not permitted" during COMMIT', 'InstanceFull'],
  [1180, 'Got error 5 "Input/output error" during COMMIT', 'ToolFailed'],
  [1030, 'Got error 281 "Unknown" from storage engine', 'ToolFailed'],
] as const)('what the machine of the server said tells a full disk: %s %s', ([errno, text, code]) => {
  expect(translateError(server(errno, text), 'It failed')).toMatchObject({ code });
});

test.for([
  [1021, 'InstanceFull'],
  [1040, 'InstanceUnreachable'],
  [1044, 'InstanceRefused'],
  [1045, 'InstanceRefused'],
  [1153, 'IncompatibleBackup'],
  [1205, 'InstanceBusy'],
  [1927, 'InstanceUnreachable'],
] as const)('an error of the server becomes one somebody can act on: %s', ([errno, code]) => {
  const error = translateError(server(errno, 'as the server says it'), 'It failed');
  expect(error).toMatchObject({ code, hint: expect.any(String) });
});
