import { Command, CommanderError, type OutputConfiguration } from 'commander';
import { backupCommand } from './backup.ts';
import { catalogCommand } from './catalog.ts';
import { completionCommand } from './completion.ts';
import { decryptCommand } from './decrypt.ts';
import { doctorCommand } from './doctor.ts';
import { drCommand } from './dr.ts';
import { type CliError, toCliError } from './errors.ts';
import { type ExitCode, exitCodes } from './exit-codes.ts';
import { instanceCommand } from './instance.ts';
import { keyCommand } from './key.ts';
import { migrateCommand } from './migrate.ts';
import { restoreCommand } from './restore.ts';
import { serveCommand } from './serve.ts';
import type { Surroundings } from './surroundings.ts';
import { tokenCommand } from './token.ts';
import { workerCommand } from './worker.ts';

/** Runs one command line. Never throws: errors are on stderr, and the result says what the shell is told. */
export async function runCommandLine(args: readonly string[], surroundings: Surroundings): Promise<ExitCode> {
  const json = args.includes('--json');
  // Commander's own errors are printed below, like all others.
  const program = makeProgram(surroundings, { outputError: () => {}, ...(json && { writeErr: () => {} }) });
  try {
    await program.parseAsync(args, { from: 'user' });
    // Commands that notice a signal but end in order (serve) say so by not throwing.
    return exitCodes.ok;
  } catch (thrown) {
    const error = toCliError(thrown, surroundings.signal);
    if (!error) return exitCodes.ok;
    printError(error, json, usageHint(thrown, program, args));
    return error.exitCode;
  }
}

/** All commands. `completion` and the documentation are made from, and checked against, this tree. */
export function makeProgram(surroundings: Surroundings, output: OutputConfiguration = {}): Command {
  const program = new Command('forestay')
    .description('Backup, restore, encrypted download and disaster recovery of data service instances.')
    .option('--json', 'print JSON on stdout, and errors as JSON on stderr')
    .option('--url <url>', 'the site to talk to (default: FORESTAY_URL, or the site of this machine)')
    .option(
      '--token-file <file>',
      'file that holds the token (default: FORESTAY_TOKEN, or that of this machine)',
    )
    .configureHelp({ showGlobalOptions: true })
    .configureOutput(output)
    .exitOverride();
  serveCommand(program, surroundings);
  workerCommand(program, surroundings);
  migrateCommand(program, surroundings);
  instanceCommand(program, surroundings);
  backupCommand(program, surroundings);
  restoreCommand(program, surroundings);
  drCommand(program, surroundings);
  keyCommand(program, surroundings);
  decryptCommand(program, surroundings);
  tokenCommand(program, surroundings);
  catalogCommand(program, surroundings);
  doctorCommand(program, surroundings);
  completionCommand(program);
  return program;
}

function printError(error: CliError, json: boolean, usage: string | undefined): void {
  const hint = error.hint ?? usage;
  if (json) {
    const { code, message: description, requestId: request_id, exitCode: exit_code } = error;
    process.stderr.write(`${JSON.stringify({ error: code, description, hint, request_id, exit_code })}\n`);
    return;
  }
  process.stderr.write(`error: ${error.message}\n${hint ? `hint: ${hint}\n` : ''}`);
  if (error.requestId && error.exitCode === exitCodes.failed) {
    process.stderr.write(`hint: The log of the service has more under request ${error.requestId}\n`);
  }
}

/** The help of the command that was meant, as far as it was spelt right. */
function usageHint(thrown: unknown, program: Command, args: readonly string[]): string | undefined {
  if (!(thrown instanceof CommanderError)) return undefined;
  let command = program;
  for (const arg of args) command = command.commands.find((child) => child.name() === arg) ?? command;
  const names: string[] = [];
  for (let at: Command | null = command; at; at = at.parent) names.unshift(at.name());
  return `See: ${names.join(' ')} --help`;
}
