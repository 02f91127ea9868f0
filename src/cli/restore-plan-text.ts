import type { RestorePlanBody } from '../http/v1/restore-plan.ts';
import { table } from './output.ts';

/** What a restore would do, for people: a line for each thing, and how many there are. */
export function describePlan({ added, changed, removed, not_kept: notKept }: RestorePlanBody): string {
  const row = (mark: string, { kind, name, within }: RestorePlanBody['added'][number], differs = '') => [
    mark,
    kind,
    name,
    within ?? '',
    differs,
  ];
  const rows = [
    ...added.map((thing) => row('add', thing)),
    ...changed.map((thing) => row('change', thing, thing.differs.join(', '))),
    ...removed.map((thing) => row('remove', thing)),
  ];
  const summary = `${added.length} to add, ${changed.length} to change, ${removed.length} to remove. Nothing was changed.`;
  const listing = table(
    ['', 'WHAT', 'NAME', 'IN', 'DIFFERENT'],
    rows,
    'The instance holds what the backup holds.',
  );
  const left = notKept.length === 0 ? [] : ['not kept:', ...notKept.map((line) => `  - ${line}`)];
  return [listing, ...left, summary].join('\n');
}
