import { type Command, InvalidArgumentError } from 'commander';
import { isGuid } from '../core/backup.ts';
import type { CreatedTokenBody, CreateTokenRequest, TokenBody } from '../http/v1/tokens.ts';
import { positiveInteger } from './arguments.ts';
import { confirmed } from './ask.ts';
import { usageError } from './errors.ts';
import { moment, note, print, table } from './output.ts';
import { globalOptions, openClient, type Surroundings } from './surroundings.ts';

type Rights = NonNullable<CreateTokenRequest['instances']>;

interface CreateOptions {
  readonly name: string;
  readonly operator?: true;
  readonly instance?: Rights;
}

/** `forestay token …`: who may do what with the API. */
export function tokenCommand(program: Command, surroundings: Surroundings): void {
  const group = program.command('token').description('Tokens of the API.');

  group
    .command('create')
    .description('Make a token and print it, this once.')
    .requiredOption('--name <name>', 'who or what it is for')
    .option('--operator', 'it may do everything')
    .option(
      '--instance <guid[:right]>',
      'it may view or manage (default) this instance; repeat for more',
      addRight,
    )
    .action(async (options: CreateOptions, command: Command) => {
      if (!options.operator && !options.instance) {
        throw usageError(
          'The token would be good for nothing.',
          'Give it --operator, or --instance <guid>:view or :manage.',
        );
      }
      const client = await openClient(command, surroundings);
      const request: CreateTokenRequest = {
        name: options.name,
        operator: options.operator === true,
        instances: options.instance ?? [],
      };
      const created = await client.post<CreatedTokenBody>('/v1/tokens', request);
      const { json } = globalOptions(command);
      print(json, created, () => created.secret);
      if (!json)
        note(`Token ${created.id} is printed this once. Use it as FORESTAY_TOKEN or with --token-file.`);
    });

  group
    .command('list')
    .description('Tokens, without their secrets.')
    .action(async (_options, command: Command) => {
      const client = await openClient(command, surroundings);
      const tokens = await client.get<TokenBody[]>('/v1/tokens');
      const rows = tokens.map((one) => [
        String(one.id),
        one.name,
        rightsOf(one),
        moment(one.created_at),
        moment(one.last_used_at),
      ]);
      print(globalOptions(command).json, tokens, () =>
        table(
          ['ID', 'NAME', 'RIGHTS', 'CREATED', 'LAST USED'],
          rows,
          'No tokens. The admin token is not listed.',
        ),
      );
    });

  group
    .command('revoke')
    .description('End a token, at once and for good.')
    .argument('<id>', 'number of the token', positiveInteger)
    .option('--yes', 'do not ask')
    .action(async (id: number, options: { yes?: true }, command: Command) => {
      const client = await openClient(command, surroundings);
      await confirmed(`Revoke token ${id}? Whatever uses it stops working.`, {
        ...options,
        signal: surroundings.signal,
      });
      const answer = await client.delete(`/v1/tokens/${id}`);
      print(globalOptions(command).json, answer, () => `Token ${id} is revoked.`);
    });
}

function addRight(text: string, before: Rights = []): Rights {
  const [guid = '', right = 'manage'] = text.split(':');
  if (!isGuid(guid)) throw new InvalidArgumentError('It must start with the GUID of an instance.');
  if (right !== 'view' && right !== 'manage')
    throw new InvalidArgumentError('The right must be view or manage.');
  return [...before, { instance_id: guid.toLowerCase(), right }];
}

function rightsOf({ operator, instances }: TokenBody): string {
  if (operator) return 'everything';
  return instances.map(({ instance_id, right }) => `${right} ${instance_id}`).join(', ') || 'nothing';
}
