import { Readable } from 'node:stream';
import { expect, test } from 'vitest';
import { splitRows } from '../../../src/engines/mariadb/large-row.ts';
import {
  endMark,
  programsEnd,
  readProgram,
  writePrograms,
} from '../../../src/engines/mariadb/program-script.ts';
import type { Program } from '../../../src/engines/mariadb/programs.ts';
import { readScript, type ScriptPart } from '../../../src/engines/mariadb/script.ts';

const end = `\n${programsEnd}\n${endMark}\n`;

/** Reads a script that comes in pieces of so many bytes. */
async function read(script: string, piece = 7): Promise<ScriptPart[]> {
  const bytes = Buffer.from(script);
  const pieces = Array.from({ length: Math.ceil(bytes.length / piece) }, (_, index) =>
    bytes.subarray(index * piece, (index + 1) * piece),
  );
  const parts: ScriptPart[] = [];
  for await (const part of readScript(Readable.from(pieces))) parts.push(part);
  return parts;
}

const latin1 = (text: string) => Buffer.from(text).toString('latin1');

test('statements come one by one, wherever the bytes are cut, and settings are left out', async () => {
  const table =
    "CREATE TABLE `a;``\n` (\n  `b` int DEFAULT 1 COMMENT ';\\'\"'\n) ENGINE=InnoDB COMMENT='SELECT ; ü'";
  const rows =
    "INSERT INTO `a;``\n` VALUES\n(1,'it''s \\\\','\\';\\n'),\n(-1.5e-7,NULL,0x00FF),\n(2,'\\\\','ü')";
  const script = `/*M!999999\\- enable the sandbox mode */ \n/*!40101 SET NAMES utf8mb4 */;\nDROP TABLE IF EXISTS \`a;\`\`\n\`;
/*!40101 SET character_set_client = utf8mb4 */;\n${table};\n/*!40000 ALTER TABLE \`*/;\` DISABLE KEYS */;\n${rows};
CREATE SEQUENCE \`s\` start with 1 minvalue 1 cache 1000 nocycle ENGINE=InnoDB;\nDO SETVAL(\`s\`, 1010, 0);\n${end}`;
  for (const piece of [1, 3, 64, 100_000]) {
    const parts = await read(script, piece);
    expect(parts).toEqual([
      { kind: 'table', sql: latin1(table) },
      { kind: 'rows', sql: latin1(rows) },
      { kind: 'sequence', sql: expect.stringContaining('`s`') },
      { kind: 'value', sql: 'DO SETVAL(`s`, 1010, 0)' },
    ]);
  }
});

test.for([
  'USE mysql;',
  'DROP DATABASE other;',
  'GRANT ALL ON *.* TO x;',
  '\\! touch /tmp/x\n;',
  'system touch /tmp/x;',
  'DELIMITER ;;\n',
  'DELETE FROM `a`;',
  'INSERT INTO `other`.`t` VALUES (1);',
  'INSERT INTO `t` SELECT * FROM mysql.user;',
  'INSERT INTO `t` VALUES ((SELECT 1));',
  'INSERT INTO `t` VALUES (f(1));',
  'INSERT INTO `t` VALUES (abc.fade(1));',
  'INSERT INTO `t` VALUES (1) ON DUPLICATE KEY UPDATE a = 1;',
  'INSERT INTO `t` VALUES (@@datadir);',
  'INSERT INTO `t` VALUES (1 /*!, 2 */);',
  'CREATE TABLE `a`.`b` (\n  `c` int\n) ENGINE=InnoDB;',
  'CREATE TABLE `a` (\n  `c` int\n) SELECT * FROM mysql.user;',
  'CREATE TABLE `a` (\n  `c` int\n) ENGINE=InnoDB AS SELECT 1;',
  'CREATE TABLE `a` (SELECT * FROM mysql.user);',
  "CREATE TABLE `a` (\n  `c` int\n) ENGINE=FEDERATED CONNECTION='mysql://x';",
  'CREATE TABLE `a` (\n  `c` int\n) ENGINE=MRG_MyISAM UNION=(`mysql`.`user`);',
  'CREATE SEQUENCE `a`.`b` start with 1;',
  'DO SETVAL(`a`.`b`, 1, 0);',
  'DO SLEEP(1000);',
  'CREATE PROCEDURE p() SELECT 1;',
  'DROP TABLE IF EXISTS `a`, `b`.`c`;',
])('another statement is refused: %s', async (statement) => {
  await expect(read(`${statement}\n${end}`)).rejects.toMatchObject({ code: 'IncompatibleBackup' });
});

test('a script without its end is refused, and so is one that goes on behind it', async () => {
  const whole = `DO SETVAL(\`s\`, 10, 0);\n${end}`;
  expect(await read(whole)).toHaveLength(1);
  for (const script of [
    '',
    'no backup',
    whole.slice(0, -1),
    whole.slice(0, -20),
    `${whole}x\n`,
    `${whole}${endMark}`,
  ])
    await expect(read(script), script).rejects.toMatchObject({ code: 'IncompatibleBackup' });
});

const program: Program = {
  kind: 'PROCEDURE',
  name: 'p\n-- forestay-programs-end',
  text: `CREATE DEFINER=\`a\`@\`%\` PROCEDURE \`p\n-- forestay-programs-end\`() SELECT ';;\n${endMark}\n'`,
  settings: { sqlMode: '', client: 'utf8mb4', collation: 'utf8mb4_general_ci' },
};

test('programs come back as they were, whatever is in them', async () => {
  const parts = await read(`/*!40111 SET SQL_NOTES=@OLD_SQL_NOTES */;\n${writePrograms([program])}`);
  const lines = parts.flatMap((part) => (part.kind === 'program line' ? (readProgram(part.line) ?? []) : []));
  expect(lines).toEqual([program]);
});

test.for([
  'DROP DATABASE x',
  'CREATE DEFINER=`a`@`%` PROCEDURE `other`.`p`() SELECT 1',
  'CREATE DEFINER=`a`@`%` PROCEDURE `q`() SELECT 1',
  'CREATE DEFINER=`a`@`%` FUNCTION `p`() RETURNS INT RETURN 1',
  'CREATE USER `p`',
])('a program that is not what it says is refused: %s', (text) => {
  const line = `-- forestay-program: ${JSON.stringify({ ...program, name: 'p', text })}`;
  expect(() => readProgram(line)).toThrow(expect.objectContaining({ code: 'IncompatibleBackup' }));
});

test('rows are taken apart at their commas', () => {
  expect(splitRows("INSERT INTO `t (` (`a`, `b)`) VALUES\n(1,'a,\\'(b''c'),\n(NULL,0xFF)")).toEqual({
    head: 'INSERT INTO `t (` (`a`, `b)`) VALUES ',
    rows: [
      ['1', "'a,\\'(b''c'"],
      ['NULL', '0xFF'],
    ],
  });
});
